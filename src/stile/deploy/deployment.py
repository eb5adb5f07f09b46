"""The deployment document: which versions answer for a use case, in which part, from which files."""

from __future__ import annotations

from typing import Literal

import msgspec

from stile.data.contract import Contract

Role = Literal["champion", "challenger", "shadow"]
ROLES: tuple[Role, ...] = ("champion", "challenger", "shadow")
"""Every part a version can play, the answering one first. Each is also a guarded alias."""


class FileRef(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model: path inside the model folder, and the digest that is its content's name."""

    path: str
    digest: str
    size: int = 0


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One model version in one part.

    Attributes:
        threshold: score from which the answer is the positive outcome, as in the evidence the
            version was judged by; None leaves the answer to the model.
        decision: id of the decision that put it there, empty when none is known.
    """

    role: Role
    version: int
    digest: str
    files: tuple[FileRef, ...]
    threshold: float | None = None
    decision: str = ""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway serves. ``revision`` grows with every change; 0 is nothing deployed.

    Attributes:
        segment: column whose value is kept with each prediction, empty for none.
        positive: label of the positive outcome.
        contract: what live rows should look like; None when none was published.
    """

    use_case: str
    revision: int
    variants: tuple[Variant, ...] = ()
    segment: str = ""
    positive: str = "1"
    contract: Contract | None = None

    def variant(self, role: Role) -> Variant | None:
        """The version in a part, or None."""
        return next((variant for variant in self.variants if variant.role == role), None)
