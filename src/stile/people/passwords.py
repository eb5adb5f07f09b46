"""Passwords, kept as argon2id hashes.

Source: RFC 9106, second recommended option (64 MiB, 3 passes, 4 lanes), the defaults of argon2-cffi.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from stile.kernel.errors import Invalid

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH = 12
_slots = threading.BoundedSemaphore(2)  # each hash takes 64 MiB: many at once would be an attack on memory


def hash_password(password: str) -> str:
    """The hash to store. Takes about 50 ms: never call it in the writer or on the event loop.

    Raises:
        Invalid: shorter than 12 characters.
    """
    if len(password) < MIN_LENGTH:
        raise Invalid(
            f"A password needs at least {MIN_LENGTH} characters. A sentence is easier to remember than a word."
        )
    with _slots:
        return _hasher().hash(password)


def password_fits(stored: str | None, password: str) -> bool:
    """Whether ``password`` is the one hashed in ``stored``; as slow for None, so that accounts cannot be probed."""
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415  first used at the first sign-in

    with _slots:
        try:
            return _hasher().verify(stored or _dummy(), password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # noqa: PLC0415  keeps start-up fast

    return PasswordHasher()


@cache
def _dummy() -> str:
    return _hasher().hash("no account has this password")
