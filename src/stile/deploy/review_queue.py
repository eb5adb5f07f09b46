"""Which predictions need a person, and why: a pure choice, the same for everybody who asks at the same time.

Four reasons: the versions disagree, the score lies close to the threshold, the inputs are
unlike anything the version was tested on (or break the contract), and a small random share
for audit, so that what looks safe is looked at too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from stile.deploy.prediction_records import StoredPrediction

NEAR = 0.1
"""Scores closer to the threshold than this are near it."""
AUDIT_RATIO = 0.02
"""Share of all predictions that is queued without another reason."""
_SHOWN = 3


class QueueItem(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction that needs a person.

    Attributes:
        reasons: ``disagreement``, ``near_threshold``, ``unusual_inputs``, ``audit``.
        why: the same in words.
        urgency: 0..; more first.
        others: what other versions said on the same row, as (role, version, output, score).
    """

    prediction: str
    use_case: str
    at: int
    version: int
    output: Any
    score: float | None
    threshold: float | None
    segment: str
    unit: str
    inputs: dict[str, Any]
    reasons: list[str]
    why: str
    urgency: float
    others: list[tuple[str, int, Any, float | None]] = []


def item(
    answer: StoredPrediction,
    others: Iterable[StoredPrediction],
    *,
    threshold: float | None,
    ranges: Mapping[str, tuple[float, float]],
) -> QueueItem | None:
    """The queue's entry for one answer, or None when nothing calls for a person.

    Args:
        answer: what the champion said.
        others: what other versions said on the same row.
        threshold: where the answer flips; None when the model has none.
        ranges: smallest and largest value of each column in the version's test data.
    """
    beside = [(one.role, one.version, one.output, one.score) for one in others]
    reasons: list[str] = []
    words: list[str] = []
    urgency = 0.0
    against = [(role, version) for role, version, output, _ in beside if output != answer.output]
    if against:
        role, version = against[0]
        reasons.append("disagreement")
        words.append(f"the {role} (version {version}) answers differently")
        urgency += 3.0
    if threshold is not None and answer.score is not None and abs(answer.score - threshold) < NEAR:
        distance = abs(answer.score - threshold)
        reasons.append("near_threshold")
        words.append(f"score {answer.score:.3f} is close to the threshold {threshold:.3f}")
        urgency += 2.0 * (1.0 - distance / NEAR)
    unusual = _unusual(answer, ranges)
    if unusual:
        more = f" and {len(unusual) - _SHOWN} more" if len(unusual) > _SHOWN else ""
        reasons.append("unusual_inputs")
        words.append(f"unlike the test data: {', '.join(unusual[:_SHOWN])}{more}")
        urgency += 1.0 + min(len(unusual), 10) / 10
    if not reasons and _drawn(answer.id):
        reasons.append("audit")
        words.append("drawn at random for audit")
        urgency += 0.5
    if not reasons:
        return None
    return QueueItem(
        prediction=answer.id, use_case=answer.use_case, at=answer.at, version=answer.version, output=answer.output,
        score=answer.score, threshold=threshold, segment=answer.segment, unit=answer.unit, inputs=answer.inputs,
        reasons=reasons, why="; ".join(words), urgency=round(urgency, 6), others=beside,
    )  # fmt: skip


def ordered(items: Iterable[QueueItem]) -> list[QueueItem]:
    """Most urgent first; of equals the older, then by id."""
    return sorted(items, key=lambda one: (-one.urgency, one.at, one.prediction))


def _unusual(answer: StoredPrediction, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    found = [name.partition(":")[0] for name in answer.broken]
    for name, value in answer.inputs.items():
        if name in ranges and isinstance(value, int | float) and not isinstance(value, bool):
            low, high = ranges[name]
            if not low <= value <= high:
                found.append(name)
    return list(dict.fromkeys(found))


def _drawn(id: str) -> bool:
    """Whether an id is in the audit share: a hash and no dice, so the queue is the same however often it is made."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") / 2**32 < AUDIT_RATIO
