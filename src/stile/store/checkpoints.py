"""Signed checkpoints: one line that fixes the whole ledger, to be kept where the database's owner cannot reach.

Without a copy outside, somebody with the database and the key could rewrite everything. With
one, even that shows. The note is text: origin, number of entries, Merkle root, then the
ed25519 signature over those lines.

Source: the C2SP tlog-checkpoint note format, with hexadecimal in place of base64 for the root.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from stile.kernel.errors import Corrupt
from stile.store import ledger
from stile.store.database import Database, Tx

_ORIGIN = "stile ledger"


def take(db: Database, key_file: Path, copy_to: Path) -> str | None:
    """Sign the present state if it is new, store the note and append it to the file ``copy_to``.

    Returns:
        The note, or None when nothing was added since the last one.
    """
    size, root = db.read(ledger.root)
    known = db.read(lambda tx: tx.scalar("SELECT MAX(size) FROM ledger_checkpoints"))
    if size in (0, known):
        return None
    note = sign(_key(key_file), size, root)
    db.write(
        lambda tx: tx.run(
            "INSERT INTO ledger_checkpoints (size, at, root, note) VALUES (?, ?, ?, ?) ON CONFLICT (size) DO NOTHING",
            (size, tx.now_ms(), root, note),
        )
    )
    with copy_to.open("a", encoding="utf-8") as file:
        file.write(note + "\n")
    return note


def latest(tx: Tx) -> str | None:
    """The newest note."""
    note: str | None = tx.scalar("SELECT note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1")
    return note


def sign(private_key: bytes, size: int, root: str) -> str:
    """The note for a ledger of ``size`` entries with Merkle root ``root`` (hex), signed with a raw ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  slow to import

    key = Ed25519PrivateKey.from_private_bytes(private_key)
    text = f"{_ORIGIN}\n{size}\n{root}\n"
    signature = base64.b64encode(key.sign(text.encode())).decode()
    return f"{text}\n— {key.public_key().public_bytes_raw().hex()} {signature}\n"


def read(note: str) -> tuple[int, str]:
    """(size, root) of a note whose signature holds.

    Raises:
        Corrupt: the note is malformed or was changed.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        text, signed = note.rstrip("\n").split("\n\n", 1)
        origin, size, root = text.split("\n")
        _, public, signature = signed.split(" ")
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
            base64.b64decode(signature), f"{text}\n".encode()
        )
    except (ValueError, InvalidSignature) as error:
        raise Corrupt("The checkpoint's signature does not hold: it was changed, or is not a checkpoint.") from error
    if origin != _ORIGIN:
        raise Corrupt(f"The checkpoint is of {origin!r}, not of a Stile ledger.")
    return int(size), root


def _key(key_file: Path) -> bytes:
    if key_file.exists():
        return bytes.fromhex(key_file.read_text().strip())
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = os.urandom(32)
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
    return key
