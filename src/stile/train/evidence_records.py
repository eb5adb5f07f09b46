"""SQL of evidence: documents by digest, added and never changed."""

from __future__ import annotations

import zlib

import msgspec

from stile.kernel.canonical import canonical_json, digest_bytes
from stile.kernel.errors import Corrupt, Missing
from stile.store.database import Row, Tx
from stile.train.evidence import Evidence

_OF_VERSION = "use_case = ? AND model_digest = ? AND kind = 'model_version'"
_SUMMARY = "digest, use_case, kind, version, model_digest, window_id, dataset, author, at"


class EvidenceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of evidence shows: about what, by whom, when.

    Attributes:
        kind: ``model_version`` or ``window``.
        version: registry version, as text.
        model_digest: digest of the version's files.
        window: window id; empty for evidence about a version.
        dataset: digest of the test dataset; empty for live windows.
        by, at: who computed it, when.
    """

    digest: str
    use_case: str
    kind: str
    version: str
    model_digest: str
    window: str
    dataset: str
    by: str
    at: int


def save(tx: Tx, evidence: Evidence) -> str:
    """Keep a document under its digest, which is returned. Saving it again is free.

    Raises:
        Invalid: it holds a number that is not finite.
    """
    body = canonical_json(evidence)
    digest = digest_bytes(body)
    subject = evidence.subject
    tested_on = next((use.digest for use in evidence.datasets if use.role == "test"), "")
    tx.run(
        f"INSERT INTO evidence ({_SUMMARY}, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (digest) DO NOTHING",
        (
            digest, subject.use_case, subject.kind, subject.version, subject.digest, subject.window, tested_on,
            evidence.computed.by, evidence.computed.at, zlib.compress(body),
        ),
    )  # fmt: skip
    return digest


def load(tx: Tx, digest: str) -> Evidence:
    """The document with this digest.

    Raises:
        Missing: there is none.
        Corrupt: it is not what was stored.
    """
    body = tx.scalar("SELECT body FROM evidence WHERE digest = ?", (digest,))
    if body is None:
        raise Missing(f"There is no evidence {digest}.")
    return _decoded(digest, body)


def find(tx: Tx, digest: str) -> Evidence | None:
    """The document with this digest, or None."""
    body = tx.scalar("SELECT body FROM evidence WHERE digest = ?", (digest,))
    return None if body is None else _decoded(digest, body)


def latest_for_version(tx: Tx, use_case: str, model_digest: str) -> Evidence | None:
    """The newest evidence from a test dataset about the version with these files, or None."""
    return latest_with_digest(tx, use_case, model_digest)[1]


def latest_with_digest(tx: Tx, use_case: str, model_digest: str) -> tuple[str, Evidence | None]:
    """Like ``latest_for_version``, with the digest as stored; ("", None) when there is none."""
    row = _newest_row(tx, _OF_VERSION, use_case, model_digest)
    return (row[0], _decoded(row[0], row[1])) if row else ("", None)


def on_dataset(tx: Tx, use_case: str, model_digest: str, dataset: str) -> Evidence | None:
    """The newest evidence about these files on this test dataset, or None."""
    row = _newest_row(tx, f"{_OF_VERSION} AND dataset = ?", use_case, model_digest, dataset)
    return _decoded(row[0], row[1]) if row else None


def for_use_case(tx: Tx, use_case: str, *, kind: str = "", limit: int = 1000) -> list[EvidenceSummary]:
    """What evidence the use case has, newest first; of one kind when named."""
    rows = tx.all(
        f"SELECT {_SUMMARY} FROM evidence WHERE use_case = ? AND (? = '' OR kind = ?) ORDER BY id DESC LIMIT ?",
        (use_case, kind, kind, limit),
    )
    return [_summary(row) for row in rows]


def _newest_row(tx: Tx, where: str, *params: str) -> Row | None:
    return tx.one(f"SELECT digest, body FROM evidence WHERE {where} ORDER BY id DESC LIMIT 1", params)


def _decoded(digest: str, body: bytes) -> Evidence:
    try:
        plain = zlib.decompress(body)
        if digest_bytes(plain) != digest:
            raise Corrupt(f"The evidence {digest} has been altered since it was stored. Restore it from a backup.")
        return msgspec.json.decode(plain, type=Evidence)
    except (zlib.error, msgspec.DecodeError) as error:
        raise Corrupt(f"The evidence {digest} cannot be read: {error}.") from error


def _summary(row: Row) -> EvidenceSummary:
    digest, use_case, kind, version, model_digest, window, dataset, by, at = row
    return EvidenceSummary(
        digest=digest, use_case=use_case, kind=kind, version=version, model_digest=model_digest,
        window=window, dataset=dataset, by=by, at=at,
    )  # fmt: skip
