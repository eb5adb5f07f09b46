"""The ledger: governed acts in order, each bound to all before it, so that no byte can change unseen.

Two structures over the same entries. A chain: ``hash = sha256(0x00 || prev_hash || entry)``, so
a full scan finds any change. A Merkle tree over the entry hashes whose frontier is kept beside
(one node per level), so that the root of the whole ledger costs O(log n) to extend and a signed
checkpoint of it can be handed to outsiders.

Source: RFC 6962 section 2.1 (0x00 before leaves, 0x01 before inner nodes; an uneven rest is
folded from the right).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from stile.kernel.canonical import canonical_json
from stile.store.database import Tx

GENESIS = "0" * 64


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger. ``body`` is the canonical JSON of the recorded act."""

    position: int
    at: int
    kind: str
    use_case: str
    subject: str
    body: msgspec.Raw
    prev_hash: str
    hash: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found wrong, in words."""

    position: int
    problem: str


def entry_hash(*, position: int, at: int, kind: str, use_case: str, subject: str, body: bytes, prev_hash: str) -> str:
    """The hash of an entry: over its fields and the hash before it."""
    head = canonical_json([position, at, kind, use_case, subject, prev_hash])
    return hashlib.sha256(b"\x00" + head + b"\n" + body).hexdigest()


def append(tx: Tx, *, kind: str, use_case: str, subject: str, body: Any) -> Entry:
    """Write one act into the ledger, in the transaction of its effect, which is never relaxed."""
    tx.insist_on_sync()
    last = tx.one("SELECT position, hash FROM ledger ORDER BY position DESC LIMIT 1")
    position, prev_hash = (last[0] + 1, last[1]) if last else (1, GENESIS)
    raw = canonical_json(body)
    at = tx.now_ms()
    digest = entry_hash(
        position=position, at=at, kind=kind, use_case=use_case, subject=subject, body=raw, prev_hash=prev_hash
    )
    tx.run(
        "INSERT INTO ledger (position, at, kind, use_case, subject, body, prev_hash, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (position, at, kind, use_case, subject, raw, prev_hash, digest),
    )
    _extend_frontier(tx, digest)
    return Entry(
        position=position, at=at, kind=kind, use_case=use_case, subject=subject,
        body=msgspec.Raw(raw), prev_hash=prev_hash, hash=digest,
    )  # fmt: skip


def entries(tx: Tx, *, after: int = 0, limit: int = 1000, use_case: str | None = None) -> list[Entry]:
    """Entries after a position, oldest first."""
    where, params = ("use_case = ? AND ", [use_case]) if use_case else ("", [])
    rows = tx.all(
        f"SELECT position, at, kind, use_case, subject, body, prev_hash, hash FROM ledger WHERE {where}position > ? "
        "ORDER BY position LIMIT ?",
        [*params, after, limit],
    )
    return [
        Entry(position=p, at=at, kind=k, use_case=u, subject=s, body=_raw(b), prev_hash=ph, hash=h)
        for p, at, k, u, s, b, ph, h in rows
    ]


def walk(tx: Tx) -> Iterator[Entry]:
    """All entries in order, a thousand at a time."""
    after = 0
    while page := entries(tx, after=after):
        yield from page
        after = page[-1].position


def root(tx: Tx) -> tuple[int, str]:
    """(number of entries, Merkle root as kept); the root of no entries is the hash of nothing."""
    size = int(tx.scalar("SELECT COALESCE(MAX(position), 0) FROM ledger"))
    frontier = tx.all("SELECT hash FROM ledger_frontier ORDER BY level")
    return size, _fold([row[0] for row in frontier])


def check(lines: Iterable[Entry]) -> tuple[list[Finding], int, str]:
    """Recompute everything from the entries alone: (findings, size, Merkle root). Pure; works offline."""
    findings: list[Finding] = []
    expected_prev, expected_position = GENESIS, 1
    frontier: dict[int, str] = {}
    size = 0
    for entry in lines:
        size += 1
        if entry.position != expected_position:
            findings.append(
                Finding(position=entry.position, problem=f"entry {expected_position} is missing or out of order")
            )
        if entry.prev_hash != expected_prev:
            findings.append(Finding(position=entry.position, problem="does not follow from the entry before it"))
        computed = entry_hash(
            position=entry.position, at=entry.at, kind=entry.kind, use_case=entry.use_case,
            subject=entry.subject, body=bytes(entry.body), prev_hash=entry.prev_hash,
        )  # fmt: skip
        if computed != entry.hash:
            findings.append(Finding(position=entry.position, problem="was changed after it was written"))
        _carry(frontier, computed)
        expected_prev, expected_position = entry.hash, entry.position + 1
    return findings, size, _fold([frontier[level] for level in sorted(frontier)])


def verify(tx: Tx) -> list[Finding]:
    """Check the whole ledger against itself, its kept root and its checkpoints; an empty list means untouched."""
    frontiers: dict[int, str] = {}
    wanted: dict[int, str] = dict(tx.all("SELECT size, root FROM ledger_checkpoints"))
    findings, size, computed = check(_watch_roots(walk(tx), wanted, frontiers))
    kept_size, kept_root = root(tx)
    if (kept_size, kept_root) != (size, computed):
        findings.append(Finding(position=size, problem="the root kept beside the ledger does not match its entries"))
    for at_size, expected in wanted.items():
        if frontiers.get(at_size) != expected:
            findings.append(Finding(position=at_size, problem=f"the checkpoint of {at_size} entries does not match"))
    return findings


def node_hash(left: str, right: str) -> str:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + bytes.fromhex(left) + bytes.fromhex(right)).hexdigest()


def _raw(body: bytes | str) -> msgspec.Raw:
    """The body as stored; text is what only a foreign hand puts there, and the check must still be able to read it."""
    return msgspec.Raw(body.encode() if isinstance(body, str) else bytes(body))


def _watch_roots(lines: Iterable[Entry], wanted: dict[int, str], seen: dict[int, str]) -> Iterator[Entry]:
    frontier: dict[int, str] = {}
    for count, entry in enumerate(lines, start=1):
        _carry(frontier, entry.hash)
        if count in wanted:
            seen[count] = _fold([frontier[level] for level in sorted(frontier)])
        yield entry


def _extend_frontier(tx: Tx, leaf: str) -> None:
    frontier: dict[int, str] = dict(tx.all("SELECT level, hash FROM ledger_frontier"))
    before = set(frontier)
    _carry(frontier, leaf)
    for level in before - set(frontier):
        tx.run("DELETE FROM ledger_frontier WHERE level = ?", (level,))
    new_level = next(iter(set(frontier) - before))
    tx.run("INSERT INTO ledger_frontier (level, hash) VALUES (?, ?)", (new_level, frontier[new_level]))


def _carry(frontier: dict[int, str], leaf: str) -> None:
    """Add a leaf like adding one to a binary number: full levels merge and carry."""
    level, digest = 0, leaf
    while level in frontier:
        digest = node_hash(frontier.pop(level), digest)
        level += 1
    frontier[level] = digest


def _fold(narrow_to_wide: list[str]) -> str:
    """The root over the complete subtrees, given from the narrowest (rightmost) to the widest."""
    if not narrow_to_wide:
        return hashlib.sha256(b"").hexdigest()
    digest = narrow_to_wide[0]
    for wider in narrow_to_wide[1:]:
        digest = node_hash(wider, digest)
    return digest
