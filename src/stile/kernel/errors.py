"""Every error Stile raises on purpose.

    StileError
    ├── Invalid            the request itself is wrong                (400)
    │   ├── ContractBroken   data does not keep its contract          (422)
    │   └── TooSlow          answering it takes longer than allowed   (400)
    ├── Unauthenticated    nobody known is asking                     (401)
    ├── Forbidden          known, but not allowed                     (403)
    │   └── Guarded          only a decision may do this              (403)
    ├── Missing            the named thing does not exist             (404)
    ├── Exists             the name is taken                          (409)
    ├── Conflict           the world has moved since you looked       (409)
    ├── TooLarge           a size limit was passed                    (413)
    ├── TooMany            a rate or capacity limit was passed        (429)
    ├── Unavailable        cannot be done right now, try again        (503)
    │   └── StorageFull      the disk has no room                     (507)
    ├── MissingExtra       an optional dependency is not installed    (501)
    └── Corrupt            stored bytes are not what was stored       (500)

A message says what happened and what to do about it, in that order, and never
shows a server path or a stack. The numbers are a reminder: status codes are
assigned in ``edge.errors`` and MLflow's names in ``protocols.mlflow.errors``.
"""

from __future__ import annotations

from typing import Any


class StileError(Exception):
    """Root of the tree.

    Args:
        message: what happened, then what to do.
        details: machine-readable facts about it (JSON values only).
    """

    code = "internal_error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Invalid(StileError):
    """The request itself is wrong; sending it again will not help."""

    code = "invalid"


class ContractBroken(Invalid):
    """Data does not keep its contract; ``details["violations"]`` lists each broken promise."""

    code = "contract_broken"


class TooSlow(Invalid):
    """Answering the question takes longer than allowed; a narrower one may not."""

    code = "too_slow"


class Unauthenticated(StileError):
    """Nobody known is asking."""

    code = "unauthenticated"


class Forbidden(StileError):
    """The caller is known but may not do this; the message says which role may."""

    code = "forbidden"


class Guarded(Forbidden):
    """Only a recorded decision may do this; ``details["url"]`` leads to it."""

    code = "guarded"


class Missing(StileError):
    """The named thing does not exist (or is not visible to the caller)."""

    code = "missing"


class Exists(StileError):
    """The name is taken."""

    code = "exists"


class Conflict(StileError):
    """The world has moved since the caller looked."""

    code = "conflict"


class TooLarge(StileError):
    """A size limit was passed."""

    code = "too_large"


class TooMany(StileError):
    """A rate or capacity limit was passed."""

    code = "too_many"


class Unavailable(StileError):
    """It cannot be done right now; trying again later may help."""

    code = "unavailable"


class StorageFull(Unavailable):
    """The disk has no room; nothing was stored."""

    code = "storage_full"


class MissingExtra(StileError):
    """An optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'stile-ml[{extra}]'",
            package=package,
            extra=extra,
        )


class Corrupt(StileError):
    """Stored bytes are not what was stored."""

    code = "corrupt"
