"""The filter language."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.kernel.errors import Invalid
from stile.train.filters import Clause, Order, parse_filter, parse_order
from stile.train.run_search import WORDS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.auc > 0.9", Clause(entity="metric", key="auc", op=">", value=0.9)),
        ("metric.auc<=-1e-3", Clause(entity="metric", key="auc", op="<=", value=-0.001)),
        ('metrics."a b" = 1', Clause(entity="metric", key="a b", op="=", value=1.0)),
        ("metrics.`a.b/c` != .5", Clause(entity="metric", key="a.b/c", op="!=", value=0.5)),
        ("params.depth = '5'", Clause(entity="param", key="depth", op="=", value="5")),
        ('parameters.depth = "5"', Clause(entity="param", key="depth", op="=", value="5")),
        (
            "tags.mlflow.source.name LIKE '%train%'",
            Clause(entity="tag", key="mlflow.source.name", op="LIKE", value="%train%"),
        ),
        ("tag.x ilike 'A%'", Clause(entity="tag", key="x", op="ILIKE", value="A%")),
        ("tags.x IS NULL", Clause(entity="tag", key="x", op="IS NULL")),
        ("params.x is not null", Clause(entity="param", key="x", op="IS NOT NULL")),
        ("status = 'FINISHED'", Clause(entity="attribute", key="status", op="=", value="FINISHED")),
        ("attributes.start_time > 1700", Clause(entity="attribute", key="start_time", op=">", value=1700.0)),
        ("created < 5", Clause(entity="attribute", key="start_time", op="<", value=5.0)),
        ("run_id IN ('a', 'b')", Clause(entity="attribute", key="run_id", op="IN", value=("a", "b"))),
        ("attr.run_id NOT IN ('a')", Clause(entity="attribute", key="run_id", op="NOT IN", value=("a",))),
        ("dataset.context = 'train'", Clause(entity="dataset", key="context", op="=", value="train")),
        ("tags.x = 'it''s'", Clause(entity="tag", key="x", op="=", value="it's")),
        ("tags.x = 'a AND b = c'", Clause(entity="tag", key="x", op="=", value="a AND b = c")),
    ],
)
def test_one_clause_is_read(text: str, expected: Clause) -> None:
    assert parse_filter(text, WORDS) == [expected]


def test_clauses_are_joined_by_and() -> None:
    found = parse_filter("metrics.a > 1 and params.b = 'x' AND tags.c != 'y'", WORDS)
    assert [(c.entity, c.op) for c in found] == [("metric", ">"), ("param", "="), ("tag", "!=")]
    assert parse_filter("  ", WORDS) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("metrics.a > 'x'", "number"),
        ("metrics.a LIKE 'x'", "comparator"),
        ("params.a = 5", "quoted"),
        ("params.a > '5'", "comparator"),
        ("metrics.a > 1 OR metrics.b > 1", "OR is not part"),
        ("foo.a = 'x'", "Valid entity types"),
        ("banana = 'x'", "Valid keys"),
        ("status IN ('x')", "comparator"),
        ("run_id IN 'x'", "list"),
        ("run_id IN ('x'", "ends"),
        ("run_id IN ()", "quoted"),
        ("metrics.a >", "ends"),
        ("metrics.a", "ends"),
        ("'a' = 'a'", "key"),
        ("metrics.a > 1 AND", "ends"),
        ("metrics.a > 1; DROP TABLE runs", "character"),
        ("datasets.rows = '1'", "Valid keys"),
        ("metrics.a > 1 " + "AND metrics.a > 1 " * 80, "clauses"),
        ("x" * 30_000, "longer"),
    ],
)
def test_filter_is_refused_in_words_when_it_cannot_be_used(text: str, says: str) -> None:
    with pytest.raises(Invalid, match="(?i)" + says):
        parse_filter(text, WORDS)


@given(st.text(alphabet=st.sampled_from(list("metrics.ap='\"`()<>!1 ANDLIKEIN,é\\\x00")), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_filter(text, WORDS)
    except Invalid:
        return


@given(
    st.text(alphabet="abc_./- 1", min_size=1, max_size=20),
    st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
    st.text(alphabet=st.characters(blacklist_characters="'\\", blacklist_categories=["Cs"]), max_size=30),
)
def test_a_quoted_clause_comes_back_as_written(key: str, op: str, value: str) -> None:
    assert parse_filter(f"tags.`{key}` {op} '{value}'", WORDS) == [Clause(entity="tag", key=key, op=op, value=value)]


@pytest.mark.parametrize("text", ["'" * 9_999, "1" * 19_000 + "x", "`" * 9_999, '"' * 9_999, "(" * 9_999, "a." * 9_000])
def test_hostile_text_is_refused_at_once(text: str) -> None:
    start = time.process_time()
    with pytest.raises(Invalid):
        parse_filter(text, WORDS)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.auc DESC", Order(entity="metric", key="auc", ascending=False)),
        ("start_time", Order(entity="attribute", key="start_time")),
        ("attributes.start_time asc", Order(entity="attribute", key="start_time")),
        ('params."a b" DESC', Order(entity="param", key="a b", ascending=False)),
        ("tags.`x y`", Order(entity="tag", key="x y")),
    ],
)
def test_order_is_read(text: str, expected: Order) -> None:
    assert parse_order(text, WORDS) == expected


@pytest.mark.parametrize("text", ["", "metrics.a SIDEWAYS", "banana", "metrics.a DESC, x", "dataset.name"])
def test_order_is_refused_when_unknown(text: str) -> None:
    with pytest.raises(Invalid):
        parse_order(text, WORDS)
