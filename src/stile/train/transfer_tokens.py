"""Signed descriptions of one transfer: what whoever holds the address may do, with what, and until when.

    <claim as base64url JSON>.<HMAC-SHA256 of it, base64url>

Pure: key and time are passed in. Source: RFC 2104 (HMAC), RFC 4648 section 5 (base64url).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Literal

import msgspec

from stile.kernel.errors import Invalid, Missing

KEY_BYTES = 32
MOST_SECONDS = 604_800
"""Seven days. Source: the limit of signed addresses of Amazon S3, Google and Azure, which MLflow checks for."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One transfer.

    Attributes:
        act: ``get`` a content, ``put`` a file, or put a ``part`` of an upload.
        what: path of the artifact; for a part the id of the upload.
        by: who asked for the address, and is said to have put the file.
        until: last ms since 1970 UTC at which it may begin.
        digest, size: what is got, and its bytes.
        number: of the part.
    """

    act: Literal["get", "put", "part"]
    what: str
    by: str
    until: int
    digest: str = ""
    size: int = 0
    number: int = 0


def sign(key: bytes, claim: Claim) -> str:
    """The claim as text that cannot be changed unseen."""
    said = base64.urlsafe_b64encode(msgspec.json.encode(claim)).rstrip(b"=")
    return f"{said.decode()}.{_seal(key, said).decode()}"


def read(key: bytes, token: str, *, now_ms: int) -> Claim:
    """The claim of a token.

    Raises:
        Missing: it was not signed with this key, or was changed.
        Invalid: its time is over.
    """
    said, _, seal = token.encode("utf-8", "replace").partition(b".")
    if not hmac.compare_digest(seal, _seal(key, said)):
        raise Missing("There is no transfer at this address. Ask for a new one.")
    try:
        claim = msgspec.json.decode(base64.urlsafe_b64decode(said + b"=" * (-len(said) % 4)), type=Claim)
    except (binascii.Error, ValueError, msgspec.DecodeError):  # signed by another version
        raise Missing("There is no transfer at this address. Ask for a new one.") from None
    if now_ms > claim.until:
        raise Invalid("The time of this address is over. Ask for a new one.")
    return claim


def _seal(key: bytes, said: bytes) -> bytes:
    return base64.urlsafe_b64encode(hmac.digest(key, b"stile transfer 1\n" + said, "sha256")).rstrip(b"=")
