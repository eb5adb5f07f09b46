"""Searching registered models and their versions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.govern import model_records, version_records
from stile.govern.model_records import RegisteredModel
from stile.govern.version_records import ModelVersion
from stile.kernel.errors import Invalid
from stile.store.database import Row, Tx
from stile.train import prompts, search_sql
from stile.train.filters import Clause, Entity, Vocabulary, parse_filter, parse_orders
from stile.train.search_sql import Part, SortKey

MODELS_MOST = 1000
VERSIONS_MOST = 200_000
_FEW = 2000

_ENTITIES: dict[str, Entity] = {
    "tags": "tag", "tag": "tag", "attributes": "attribute", "attribute": "attribute", "attr": "attribute",
}  # fmt: skip
_MODEL_WORDS = Vocabulary(
    entities=_ENTITIES,
    attributes={"name": "id", "creation_timestamp": "number", "last_updated_timestamp": "number"},
    aliases={"timestamp": "last_updated_timestamp"},
)
_MODEL_COLUMNS = {"name": "m.name", "creation_timestamp": "m.created_at", "last_updated_timestamp": "m.updated_at"}
_VERSION_WORDS = Vocabulary(
    entities=_ENTITIES,
    attributes={
        "name": "id", "run_id": "id", "source_path": "text", "version_number": "number",
        "creation_timestamp": "number", "last_updated_timestamp": "number",
    },
    aliases={"version": "version_number", "source": "source_path"},
    quotable=("version_number",),
)  # fmt: skip
_VERSION_COLUMNS = {
    "name": "m.name",
    "run_id": "v.run_id",
    "source_path": "v.source",
    "version_number": "v.version",
    "creation_timestamp": "v.created_at",
    "last_updated_timestamp": "v.updated_at",
}


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the models asked for, and the token that leads to the rest."""

    models: list[RegisteredModel]
    next_page_token: str = ""


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the versions asked for, and the token that leads to the rest."""

    versions: list[ModelVersion]
    next_page_token: str = ""


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing to search: its words, columns, tables in the order of its default sorting, and this."""

    words: Vocabulary
    columns: dict[str, str]
    select: str
    table: str
    joined: str
    tags: str
    ends: list[SortKey]


_MODELS = _Source(
    words=_MODEL_WORDS,
    columns=_MODEL_COLUMNS,
    select=model_records.COLUMNS,
    table="registered_models m",
    joined="1 = 1",
    tags="registered_model_tags t WHERE t.model = m.id",
    ends=[SortKey("m.name", text=True)],
)
_VERSIONS = _Source(
    words=_VERSION_WORDS,
    columns=_VERSION_COLUMNS,
    select=version_records.COLUMNS,
    table="registered_models m CROSS JOIN model_versions v",
    joined="m.id = v.model",
    tags="version_tags t WHERE t.model = v.model AND t.version = v.version",
    ends=[SortKey("m.name", text=True), SortKey("v.version", False)],
)


def search_models(
    tx: Tx, *, filter: str = "", max_results: int = 100, order_by: Sequence[str] = (), page_token: str = ""
) -> ModelPage:
    """Registered models that satisfy a filter, by name unless another order is asked for.

    Raises:
        Invalid: the filter, an order, the page size or the token cannot be used; says why.
    """
    _check_size(max_results, MODELS_MOST)
    rows, following = _search(tx, _MODELS, filter=filter, most=max_results, order_by=order_by, page_token=page_token)
    return ModelPage(models=model_records.of_rows(tx, rows), next_page_token=following)


def search_versions(
    tx: Tx, *, filter: str = "", max_results: int = 10_000, order_by: Sequence[str] = (), page_token: str = ""
) -> VersionPage:
    """Versions that satisfy a filter, by name and newest first unless another order is asked for.

    Raises:
        Invalid: the filter, an order, the page size or the token cannot be used; says why.
    """
    _check_size(max_results, VERSIONS_MOST)
    rows, following = _search(tx, _VERSIONS, filter=filter, most=max_results, order_by=order_by, page_token=page_token)
    return VersionPage(versions=version_records.of_rows(tx, rows), next_page_token=following)


def _search(
    tx: Tx, source: _Source, *, filter: str, most: int, order_by: Sequence[str], page_token: str
) -> tuple[list[Row], str]:
    clauses = parse_filter(filter, source.words)
    orders = parse_orders(order_by, source.words)
    if any(order.entity != "attribute" for order in orders):
        raise Invalid("These results can be ordered by attributes only.")
    asked = [
        SortKey(source.columns[order.key], order.ascending, text=source.words.attributes[order.key] != "number")
        for order in orders
    ]
    keys: list[SortKey] = []
    for key in [*asked, *source.ends]:
        if not any(key.expression == seen.expression for seen in keys):
            keys.append(key)
    where = [Part(source.joined), *(_condition(clause, source) for clause in clauses)]
    if not any(_asks_for_prompts(clause) for clause in clauses):
        where.append(_without(source, Clause(entity="tag", key=prompts.MARK, op="=", value="true")))
    rare = _rare(tx, clauses) if source is _VERSIONS else None
    table = source.table
    if rare is not None or keys[0].expression != "m.name":  # versions are found first, then their models
        table = table.replace("CROSS JOIN", "JOIN").replace("model_versions v", "model_versions v ON m.id = v.model")
        where += [] if rare is None else [rare]
    question = search_sql.question(source.table, filter, list(order_by))
    token = search_sql.read_token(page_token, question)
    if token is not None:
        where.append(search_sql.beyond(keys, token.values))
    rows = tx.all(*search_sql.select(source.select, table, [], where, keys, most=most))
    return search_sql.page(rows, keys, most=most, question=question)


def _condition(clause: Clause, source: _Source) -> Part:
    if clause.entity == "attribute":
        return search_sql.comparison(source.columns[clause.key], clause.op, clause.value)
    if clause.op in ("IS NULL", "IS NOT NULL"):
        negation = "NOT " if clause.op == "IS NULL" else ""
        return Part(f"{negation}EXISTS (SELECT 1 FROM {source.tags} AND t.key = ?)", (clause.key,))
    if clause.key == prompts.MARK and clause.op == "!=":  # clients mean "not a prompt" by it: has no such tag, too
        return _without(source, clause)
    inner = search_sql.comparison("t.value", clause.op, clause.value)
    return Part(f"EXISTS (SELECT 1 FROM {source.tags} AND t.key = ? AND {inner.sql})", (clause.key, *inner.params))


def _rare(tx: Tx, clauses: Sequence[Clause]) -> Part | None:
    """The versions of a tag that few have, as a condition that leads to them by its index."""
    for clause in clauses:
        if clause.entity != "tag" or not search_sql.answers_by_index(clause.op, clause.value):
            continue
        value = search_sql.indexed_text("t.value", clause.op, clause.value)
        inner = f"FROM version_tags t WHERE t.key = ? AND {value.sql}"
        params = (clause.key, *value.params)
        if tx.scalar(f"SELECT COUNT(*) FROM (SELECT 1 {inner} LIMIT {_FEW}) few", params) < _FEW:
            return Part(f"(v.model, v.version) IN (SELECT t.model, t.version {inner})", params)
    return None


def _without(source: _Source, clause: Clause) -> Part:
    return Part(f"NOT EXISTS (SELECT 1 FROM {source.tags} AND t.key = ? AND t.value = ?)", (clause.key, clause.value))


def _asks_for_prompts(clause: Clause) -> bool:
    """Whether a clause is about prompts: searches that have none find models only, as MLflow's do."""
    wanted = (("=", "true"), ("!=", "false"))
    return clause.entity == "tag" and clause.key == prompts.MARK and (clause.op, clause.value) in wanted


def _check_size(wanted: int, most: int) -> None:
    if not 0 < wanted <= most:
        raise Invalid(f"Invalid value {wanted} for parameter 'max_results': it must be 1 to {most}.")
