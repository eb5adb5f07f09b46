"""Searching traces: by what they are as a whole, by tags and metadata, by their spans, by what was said about them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.train import limits, search_sql, trace_records
from stile.train.filters import Clause, Order, Vocabulary, parse_filter, parse_orders
from stile.train.run_keys import marks
from stile.train.search_sql import Part, SortKey
from stile.train.trace_values import RUN_METADATA, TraceInfo

MOST = 500
_END = "(t.at + COALESCE(t.took, 0))"
_COLUMNS = {
    "request_id": "t.trace_id",
    "name": "t.name",
    "status": "t.status",
    "client_request_id": "t.client_request_id",
    "timestamp_ms": "t.at",
    "execution_time_ms": "t.took",
    "end_time_ms": _END,
    "experiment_id": "t.experiment",
}
_SPAN_COLUMNS = {"name": "s.name", "type": "s.type", "status": "s.status", "content": "s.body"}
_TABLES = {"tag": "trace_tags", "metadata": "trace_metadata"}
WORDS = Vocabulary(
    entities={
        "attributes": "attribute", "attribute": "attribute", "attr": "attribute", "trace": "attribute",
        "tags": "tag", "tag": "tag", "metadata": "metadata", "request_metadata": "metadata",
        "feedback": "feedback", "expectation": "expectation", "span": "span",
    },
    attributes={
        "request_id": "id", "name": "id", "status": "id", "client_request_id": "id", "run_id": "id", "text": "text",
        "timestamp_ms": "number", "execution_time_ms": "number", "end_time_ms": "number", "experiment_id": "number",
    },
    aliases={
        "timestamp": "timestamp_ms", "execution_time": "execution_time_ms", "end_time": "end_time_ms",
        "trace_id": "request_id", "state": "status", "Timestamp": "timestamp_ms",
    },
    spans=("name", "type", "status", "content"),
)  # fmt: skip


class TracePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the traces asked for, and the token that leads to the rest ('' at the end)."""

    traces: list[TraceInfo]
    next_page_token: str = ""


def search(
    tx: Tx,
    *,
    experiment_ids: Sequence[str],
    filter: str = "",
    max_results: int = 100,
    order_by: Sequence[str] = (),
    page_token: str = "",
) -> TracePage:
    """Traces of some experiments that satisfy a filter; by default the newest first.

    Conditions on spans hold for one and the same span. Assessments that were overridden do not count.

    Raises:
        Invalid: the filter, an order, the page size or the token cannot be used; says why.
    """
    if not 0 < max_results <= MOST:
        raise Invalid(f"Invalid value {max_results} for parameter 'max_results': it must be 1 to {MOST}.")
    experiments = limits.searched_experiments(experiment_ids)
    clauses = parse_filter(filter, WORDS)
    joins, keys = _sorting(parse_orders(order_by, WORDS))
    if not experiments:
        return TracePage(traces=[])
    where = [Part(f"t.experiment IN ({marks(experiments)})", tuple(experiments))]
    where += [_condition(clause) for clause in clauses if not _of_span(clause)]
    where += _one_span([clause for clause in clauses if _of_span(clause)])
    question = search_sql.question(experiments, filter, list(order_by))
    token = search_sql.read_token(page_token, question)
    if token is not None:
        where.append(search_sql.beyond(keys, token.values))
        if keys[0].expression == "t.at":  # said once more, so that the index leads straight there
            where.append(Part(f"t.at {'>=' if keys[0].ascending else '<='} ?", (token.values[0],)))
    asked = search_sql.select("t.id", "traces t", joins, where, keys, most=max_results)
    rows, following = search_sql.page(tx.all(*asked), keys, most=max_results, question=question)
    return TracePage(traces=trace_records.load(tx, [row[0] for row in rows]), next_page_token=following)


def _sorting(orders: Sequence[Order]) -> tuple[list[Part], list[SortKey]]:
    joins: list[Part] = []
    keys: list[SortKey] = []
    seen: set[tuple[str, str]] = set()
    for index, order in enumerate(orders):
        if (order.entity, order.key) in seen:
            raise Invalid(f"`order_by` names {order.key!r} twice.")
        seen.add((order.entity, order.key))
        if order.entity == "attribute" and order.key == "text":
            raise Invalid("Traces cannot be ordered by their text.")
        if order.entity == "attribute" and order.key == "execution_time_ms":
            keys += [
                SortKey("CASE WHEN t.took IS NULL THEN 1 ELSE 0 END"),
                SortKey("COALESCE(t.took, 0)", order.ascending),
            ]
        elif order.entity == "attribute" and order.key != "run_id":
            is_text = WORDS.attributes[order.key] != "number"
            keys.append(SortKey(_COLUMNS[order.key], order.ascending, text=is_text))
        else:
            table = _TABLES.get(order.entity, "trace_metadata")
            key = RUN_METADATA if order.entity == "attribute" else order.key
            name = f"k{index}"
            joins.append(Part(f"LEFT JOIN {table} {name} ON {name}.trace = t.id AND {name}.key = ?", (key,)))
            keys.append(SortKey(f"CASE WHEN {name}.trace IS NULL THEN 1 ELSE 0 END"))
            keys.append(SortKey(f"COALESCE({name}.value, '')", order.ascending, text=True))
    if not any(key.expression == "t.at" for key in keys):
        keys.append(SortKey("t.at", False))
    return joins, [*keys, SortKey("t.trace_id", text=True)]


def _of_span(clause: Clause) -> bool:
    return clause.entity == "span" or (clause.entity == "attribute" and clause.key == "text")


def _one_span(clauses: Sequence[Clause]) -> list[Part]:
    """That there is one span of which all this is true."""
    if not clauses:
        return []
    parts = [_span_condition(clause) for clause in clauses]
    inner = " AND ".join(part.sql for part in parts)
    params = tuple(value for part in parts for value in part.params)
    return [Part(f"EXISTS (SELECT 1 FROM spans s WHERE s.trace = t.id AND {inner})", params)]


def _span_condition(clause: Clause) -> Part:
    key = "content" if clause.entity == "attribute" else clause.key
    if not key.startswith("attributes."):
        return search_sql.comparison(_SPAN_COLUMNS[key], clause.op, clause.value)
    name = json.dumps(key.removeprefix("attributes."), ensure_ascii=False)
    text = str(clause.value)
    if clause.op in ("LIKE", "ILIKE"):
        # the attribute's value begins where its key ends; wildcards stay the caller's
        pattern = f"%{_literal('{' + chr(34) + 'key' + chr(34) + ':' + name + ',')}%{_inside(text)}%"
        column, op = ("lower(s.body)", "lower(?)") if clause.op == "ILIKE" else ("s.body", "?")
        return Part(f"{column} LIKE {op} ESCAPE '!'", (pattern,))
    forms = [f'{{"key":{name},"value":{{"string_value":{json.dumps(text, ensure_ascii=False)}}}}}']
    forms += [f'{{"key":{name},"value":{{"{kind}":{form}}}}}' for kind, form in _other_forms(text)]
    either = " OR ".join(["s.body LIKE ? ESCAPE '!'"] * len(forms))
    negation = "NOT " if clause.op == "!=" else ""
    return Part(f"{negation}({either})", tuple(f"%{_literal(form)}%" for form in forms))


def _other_forms(text: str) -> list[tuple[str, str]]:
    """How a number or truth value of this text is written in a span."""
    if text in ("true", "false"):
        return [("bool_value", text)]
    try:
        number = float(text)
    except ValueError:
        return []
    found = [("double_value", msgspec.json.encode(number).decode())]
    return [*found, ("int_value", f'"{text}"')] if text.lstrip("-").isdecimal() else found


def _literal(text: str) -> str:
    """A text in which LIKE finds no wildcards."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _inside(pattern: str) -> str:
    """A caller's pattern as a part of another one."""
    return json.dumps(pattern.strip("%"), ensure_ascii=False)[1:-1].replace("!", "!!")


def _condition(clause: Clause) -> Part:
    if clause.entity == "attribute" and clause.key == "run_id":
        return _run_condition(clause)
    if clause.entity == "attribute":
        return search_sql.comparison(_COLUMNS[clause.key], clause.op, clause.value)
    if clause.entity in ("feedback", "expectation"):
        return _said(clause)
    if clause.entity == "metadata" and clause.key == RUN_METADATA and clause.op == "=":
        return _run_condition(clause)
    table = _TABLES[clause.entity]
    if clause.op in ("IS NULL", "IS NOT NULL"):
        negation = "NOT " if clause.op == "IS NULL" else ""
        return Part(f"{negation}EXISTS (SELECT 1 FROM {table} f WHERE f.trace = t.id AND f.key = ?)", (clause.key,))
    inner = search_sql.indexed_text("f.value", clause.op, clause.value)
    return Part(
        f"EXISTS (SELECT 1 FROM {table} f WHERE f.trace = t.id AND f.key = ? AND {inner.sql})",
        (clause.key, *inner.params),
    )


def _run_condition(clause: Clause) -> Part:
    inner = search_sql.comparison("r.run_id", clause.op, clause.value)
    return Part(f"EXISTS (SELECT 1 FROM trace_runs r WHERE r.trace = t.id AND {inner.sql})", inner.params)


def _said(clause: Clause) -> Part:
    found = "EXISTS (SELECT 1 FROM assessments a WHERE a.trace = t.id AND a.kind = ? AND a.name = ? AND a.valid = 1"
    params = (clause.entity, clause.key)
    if clause.op in ("IS NULL", "IS NOT NULL"):
        return Part(f"{'NOT ' if clause.op == 'IS NULL' else ''}{found})", params)
    column = "a.number" if isinstance(clause.value, float) else "a.text"
    inner = search_sql.comparison(column, clause.op, clause.value)
    return Part(f"{found} AND {inner.sql})", (*params, *inner.params))
