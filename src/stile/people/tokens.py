"""API tokens: ``stile_<kind>_<secret>_<check>``; only their hash is kept.

The typed prefix lets scanners recognise a leaked token, and the checksum lets a typing error be
told from a wrong token without a look-up. The secret carries 190 bits, so a fast hash is enough.

Source: GitHub's token format (typed prefix and CRC-32 suffix).
"""

from __future__ import annotations

import hashlib
import secrets
import zlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 32


def new_token(kind: str) -> str:
    """A new token for an account of ``kind`` (``person`` or ``service``)."""
    body = "stile_" + kind[:1] + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"{body}_{_check(body)}"


def well_formed(token: str) -> bool:
    """Whether the text has the form of a token and its checksum holds."""
    body, _, check = token.rpartition("_")
    return body.startswith("stile_") and secrets.compare_digest(check.encode(), _check(body).encode())


def hash_secret(secret: str) -> str:
    """What is stored instead of a token or a session id."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
