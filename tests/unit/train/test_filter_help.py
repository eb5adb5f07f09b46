"""Help with filters: what may come next, what was meant, and clauses back to text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.kernel.errors import Invalid
from stile.train import filter_text
from stile.train.filter_completion import MOST, Keys, completions, expected
from stile.train.filter_repair import repaired
from stile.train.filters import Clause, FilterError, parse_filter
from stile.train.run_search import WORDS

KEYS = Keys(metrics=["auc", "loss", "val loss"], params=["model", "max depth", "auc_param"], tags=["site"])
VALUES = [("tree", "12 runs"), ("O'Neil", "3 runs")]


def _offered(text: str) -> tuple[str, str, list[str]]:
    wanted = expected(text, len(text), WORDS)
    values = VALUES if wanted.entity != "metric" else [("0.1", "least"), ("0.9", "greatest")]
    return wanted.kind, text[: wanted.start], [each.text for each in completions(wanted, WORDS, KEYS, values)]


@pytest.mark.parametrize(
    ("text", "kind", "kept", "first"),
    [
        ("", "key", "", ["metrics.auc", "metrics.loss"]),
        ("metrics.", "key", "", ["metrics.auc", "metrics.loss", "metrics.`val loss`"]),
        ("au", "key", "", ["metrics.auc", "params.auc_param"]),
        ("metrics.`val", "key", "", ["metrics.`val loss`"]),
        ("params.max", "key", "", ["params.`max depth`"]),
        ("metrics.auc ", "comparator", "metrics.auc ", ["=", "!=", "<"]),
        ("metrics.auc >", "comparator", "metrics.auc ", [">="]),
        ("params.model ", "comparator", "params.model ", ["=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL"]),
        ("params.model IS ", "comparator", "params.model ", ["IS NULL", "IS NOT NULL"]),
        ("params.model is n", "comparator", "params.model ", ["IS NULL", "IS NOT NULL"]),
        ("metrics.auc > ", "value", "metrics.auc > ", ["0.1", "0.9"]),
        ("params.model = ", "value", "params.model = ", ["'tree'", "'O''Neil'"]),
        ("params.model = 'tr", "value", "params.model = ", ["'tree'"]),
        ("params.model = 'tree' ", "joint", "params.model = 'tree' ", ["and"]),
        ("params.model = 'tree' a", "joint", "params.model = 'tree' ", ["and"]),
        ("params.x IS NULL and metr", "key", "params.x IS NULL and ", ["metrics.auc"]),
        ("run_id IN ", "list", "run_id IN ", ["('tree')"]),
        ("run_id IN ('a') ", "joint", "run_id IN ('a') ", ["and"]),
        ("nothing.known ", "nothing", "nothing.known ", []),
    ],
)
def test_what_may_come_next(text: str, kind: str, kept: str, first: list[str]) -> None:
    found = _offered(text)
    assert found[:2] == (kind, kept)
    assert found[2][: len(first)] == first


def test_only_what_is_before_the_caret_counts() -> None:
    text = "metrics.au > 0.9"
    assert expected(text, 10, WORDS).begun == "metrics.au"
    assert expected(text, 10_000, WORDS).kind == "value"
    assert expected(text, -5, WORDS).kind == "key"


@given(st.text(max_size=80), st.integers(0, 80))
def test_any_text_is_completed_to_something_that_fits(text: str, caret: int) -> None:
    wanted = expected(text, caret, WORDS)
    assert 0 <= wanted.start <= min(caret, len(text))
    assert len(completions(wanted, WORDS, KEYS, VALUES)) <= MOST


def test_completions_taken_one_after_another_make_a_filter() -> None:
    text = ""
    for _ in range(7):
        wanted = expected(text, len(text), WORDS)
        text = text[: wanted.start] + completions(wanted, WORDS, KEYS, [("0.5", "")])[0].text + " "
    assert text == "metrics.auc = 0.5 and metrics.auc = 0.5 "
    assert len(parse_filter(text, WORDS)) == 2


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("auc > 0.9", "metrics.auc > 0.9"),
        ("metrics.auc > '0.9'", "metrics.auc > 0.9"),
        ("params.model = tree", "params.model = 'tree'"),
        ("params.model == tree && auc>0.9", "params.model = 'tree'  and  metrics.auc>0.9"),
        ("metrics.auc > 0.9 params.model = 'a'", "metrics.auc > 0.9 and params.model = 'a'"),
        ("params.model = 'tree", "params.model = 'tree'"),
        ("metrics.model = 'x'", "params.model = 'x'"),
        ("params.auc > 0.9", ""),
        ("stauts = 'FINISHED'", "status = 'FINISHED'"),
        ("metrcs.auc > 1", "metrics.auc > 1"),
        ("metrics.auc > 1 OR metrics.loss < 1", ""),
        ("metrics.auc >", ""),
        ("metrics.auc > 0.9", ""),
        ("", ""),
    ],
)
def test_what_was_meant(text: str, meant: str) -> None:
    keys = Keys(metrics=["auc"], params=["model"]) if text.startswith("params.auc") else KEYS
    meant = "metrics.auc > 0.9" if text.startswith("params.auc") else meant
    assert repaired(text, WORDS, keys) == meant


@given(st.text(max_size=60))
def test_what_is_proposed_can_be_read(text: str) -> None:
    meant = repaired(text, WORDS, KEYS)
    if meant:
        parse_filter(meant, WORDS)
        with pytest.raises(Invalid):
            parse_filter(text, WORDS)


@pytest.mark.parametrize(
    ("text", "trouble", "piece"),
    [
        ("metrics.auc >> 1", "number", ">"),
        ("foo.a = 'x'", "unknown key", "foo.a"),
        ("metrics.auc LIKE 'x'", "comparator", "LIKE"),
        ("params.a IS  NULL or", "joint", "or"),
        ("metrics.a > 1 ;", "unreadable", ";"),
        ("metrics.a > ", "end", ""),
        ("run_id IN 'a'", "list", "'a'"),
    ],
)
def test_error_says_where(text: str, trouble: str, piece: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text, WORDS)
    error = caught.value
    assert (error.trouble, text[error.at : error.at + error.length]) == (trouble, piece)


@pytest.mark.parametrize(
    "text",
    ["metrics.auc > 0.9", "params.`max depth` != '5'", "tags.x IS NOT NULL", "run_id NOT IN ('a', 'b''c')",
     "dataset.name = 'd'", "metrics.loss <= -1e-07", "start_time > 1700000000000"],
)  # fmt: skip
def test_clauses_are_written_as_they_are_read(text: str) -> None:
    clauses = parse_filter(text, WORDS)
    assert parse_filter(filter_text.filter_text(clauses), WORDS) == clauses


@given(st.text(max_size=30).filter(lambda value: not value.endswith("\\")))
def test_any_value_of_a_facet_is_searched_for_exactly(value: str) -> None:
    clauses = parse_filter("metrics.auc > 1 and params.model = 'old' and params.model != 'x'", WORDS)
    text = filter_text.with_value(clauses, "param", "model", value)
    found = parse_filter(text, WORDS)
    assert filter_text.chosen(found, "param", "model") == value
    assert len(found) == 3
    assert filter_text.without(found, "param", "model") == [clauses[0], clauses[2]]
    assert filter_text.chosen(found, "param", "other") is None
    assert Clause(entity="param", key="model", op="=", value=value) in found
