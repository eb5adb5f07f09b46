"""What the rows of the whole store refer to: contents by digest, and runs and logged models by id.

Every text that may hold such a name is read, whoever wrote it: a name in a comment counts. That
keeps too much rather than too little. A table that is in neither list below makes a test fail.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from stile.kernel.errors import Missing
from stile.store.blobs import BlobStore
from stile.store.database import Tx

_PAGE = 200
_AT_ONCE = 16
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_SEARCHED = 4 << 20  # documents that name other blobs (graphs, manifests) are small


class _Table(msgspec.Struct, frozen=True):
    name: str
    key: str
    columns: tuple[str, ...]
    holds: str = ""
    """What it means for a run or model to be named here; '' when that holds nothing."""


REFERRING = (
    _Table("artifacts", "path", ("digest",)),
    _Table("run_tags", "run, key", ("value",)),
    _Table("params", "run, key", ("value",)),
    _Table("experiment_tags", "experiment, key", ("value",)),
    _Table("logged_model_tags", "model, key", ("value",)),
    _Table("logged_model_params", "model, key", ("value",)),
    _Table("trace_tags", "trace, key", ("value",)),
    _Table("trace_metadata", "trace, key", ("value",)),
    _Table("assessments", "id", ("body", "rationale", "metadata")),
    _Table("input_datasets", "id", ("digest", "source", "profile")),
    _Table("registered_models", "id", ("description",), "a registered model's description names it"),
    _Table("registered_model_tags", "model, key", ("value",), "a registered model's tag names it"),
    _Table("model_versions", "model, version", ("source", "run_id", "model_id", "description"), "a version is of it"),
    _Table("version_tags", "model, version, key", ("value",), "a version's tag names it"),
    _Table("use_cases", "id", ("charter",), "a charter names it"),
    _Table("contracts", "use_case, version", ("body",), "a contract names it"),
    _Table("datasets", "id", ("digest", "profile_digest", "table_digest", "source"), "a dataset version is from it"),
    _Table("profiles", "digest", ("body",)),
    _Table("evaluations", "id", ("request", "evidence"), "an evaluation is of it"),
    _Table("evidence", "id", ("digest", "dataset", "body"), "evidence is about it"),
    _Table("policies", "use_case, number", ("yaml", "body"), "a policy names it"),
    _Table("promotions", "id", ("binding", "reason"), "a promotion request is about it"),
    _Table("approvals", "id", ("binding", "reason"), "an approval is about it"),
    _Table("plans", "use_case, digest", ("body",), "a plan is about it"),
    _Table("decisions", "id", ("evidence_digest", "reason", "body"), "a decision is about it"),
    _Table("labels", "use_case, subject_version", ("body",), "a standing is about it"),
    _Table("deployments", "use_case, revision", ("body",), "a deployment serves it"),
    _Table("windows", "id", ("evidence_first", "evidence", "verdicts"), "a window is about it"),
    _Table("alerts", "id", ("finding", "cause"), "an alert is about it"),
    _Table("cards", "id", ("title", "body"), "a card names it"),
    _Table("card_comments", "id", ("text",), "a comment names it"),
    _Table("iterations", "id", ("title", "goal"), "an iteration names it"),
    _Table("ledger", "position", ("body",)),
    _Table("outbox", "position", ("body",)),
    _Table("work_starts", "key", ("arguments",)),
)
"""Tables whose texts may name contents, runs or models."""

SILENT = frozenset(
    {
        "migrations", "outbox_positions", "ledger_frontier", "ledger_checkpoints", "accounts", "tokens", "sessions",
        "sign_in_links", "members", "experiments", "runs", "run_keys", "latest", "points", "run_inputs", "run_models",
        "logged_models", "logged_model_metrics", "model_aliases", "alias_history", "gateways", "prediction_segments",
        "prediction_columns", "predictions", "outcomes", "accepted_outcomes", "feedback", "monitor_settings",
        "board_columns", "card_moves", "card_mentions", "inbox_done", "notifications", "work_dead_letters",
        "work_servers", "summaries_due", "uploads", "upload_parts", "transfer_keys", "arrivals",
        "traces", "spans", "trace_runs", "webhooks", "webhook_deliveries", "saved_views",
    }
)  # fmt: skip
"""Tables that refer to contents nowhere, or only to what another table names as well."""


class Mentions(msgspec.Struct, frozen=True):
    """Digests that are named anywhere, and for each run or model asked about that is held: why."""

    digests: set[str]
    held: dict[str, str]


def mentions(tx: Tx, ids: Collection[str] = ()) -> Mentions:
    """Read all texts of the store once."""
    digests: set[str] = set()
    held: dict[str, str] = {}
    names = [(one, one.encode()) for one in ids]
    for table in REFERRING:
        for text in _texts(tx, table):
            digests.update(found.decode() for found in _DIGEST.findall(text))
            if table.holds:
                for one, encoded in names:
                    if one not in held and encoded in text:
                        held[one] = table.holds
    return Mentions(digests, held)


def required(tx: Tx) -> set[str]:
    """The contents without which something would be broken: files of runs, models and versions, and dataset tables."""
    rows = tx.all("SELECT DISTINCT digest FROM artifacts UNION SELECT DISTINCT table_digest FROM datasets")
    return {row[0] for row in rows if row[0]}


def wanted(digests: Collection[str], blobs: BlobStore, known: dict[str, list[str]] | None = None) -> set[str]:
    """The digests, and those that their contents name in turn (a graph its data, a manifest its parts).

    Args:
        digests: where to begin.
        blobs: the contents, read side by side: in a bucket each takes a while.
        known: what contents that were looked at before name; added to. Contents never change.
    """
    known = {} if known is None else known
    found: set[str] = set()
    waiting = set(digests)
    with ThreadPoolExecutor(_AT_ONCE, "stile-references") as pool:
        while waiting:
            found |= waiting
            new = [digest for digest in waiting if digest not in known]
            for digest, names in zip(new, pool.map(partial(_named_in, blobs), new), strict=True):
                if names is not None:
                    known[digest] = names
            waiting = {name for digest in waiting for name in known.get(digest, ())} - found
    return found


def _named_in(blobs: BlobStore, digest: str) -> list[str] | None:
    """The digests that a content names (only documents name any); None when it is not here, which may change."""
    try:
        if b"".join(blobs.chunks(digest, count=1)) not in (b"{", b"["):
            return []
        if blobs.size(digest) > _SEARCHED:
            return []
        content = b"".join(blobs.chunks(digest))
    except Missing:
        return None
    return [name.decode() for name in _DIGEST.findall(content)]


def _texts(tx: Tx, table: _Table) -> Iterator[bytes]:
    keys = len(table.key.split(","))
    after = f"WHERE ({table.key}) > ({', '.join('?' * keys)})"
    last: list[object] = []
    while True:
        sql = (
            f"SELECT {table.key}, {', '.join(table.columns)} FROM {table.name} {after if last else ''} "
            f"ORDER BY {table.key} LIMIT ?"
        )
        rows = tx.all(sql, (*last, _PAGE))
        for row in rows:
            for cell in row[keys:]:
                if cell:
                    yield cell.encode() if isinstance(cell, str) else bytes(cell)
        if len(rows) < _PAGE:
            return
        last = list(rows[-1][:keys])
