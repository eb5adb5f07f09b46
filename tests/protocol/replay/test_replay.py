"""The same calls to a genuine MLflow server (recorded) and to ours: every field that differs has a listed reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import client_scenes  # noqa: F401  its scenes register themselves
import trace_scenes  # noqa: F401
from comparison import Differing, differing
from conversation import Conversation
from differences import DIFFERENCES, Difference, unexplained, used
from scenes import SCENES

from stile.testing.server import RunningServer

GENUINE = Path(__file__).parent / "genuine"
_EXPLAINED: dict[str, set[Difference]] = {}


def _question(exchange: dict[str, Any]) -> str:
    what = exchange.get("query", exchange.get("body", ""))
    return f"{exchange['asked']} {json.dumps(what, ensure_ascii=False) if what != '' else ''}"


def _differing(genuine: dict[str, Any], ours: dict[str, Any]) -> list[Differing]:
    if genuine["status"] != ours["status"]:
        return [Differing("status", genuine["status"], ours["status"])]
    return list(differing(genuine["answer"], ours["answer"]))


@pytest.mark.parametrize("scene", SCENES)
def test_every_field_is_as_genuine_mlflow_answers_or_has_a_reason(
    shared: RunningServer, scene: str, request: pytest.FixtureRequest
) -> None:
    talk = Conversation(shared.url)
    SCENES[scene](talk)
    recorded = json.loads((GENUINE / f"{scene}.json").read_text("utf-8"))
    ours = json.loads(json.dumps(talk.exchanges))
    assert [one["asked"].split(" ")[0] for one in ours] == [one["asked"].split(" ")[0] for one in recorded]
    explained = _EXPLAINED.setdefault(request.node.callspec.params["shared"], set())
    unlike = []
    for genuine, answered in zip(recorded, ours, strict=True):
        for found in _differing(genuine, answered):
            explained |= used(scene, _question(genuine), found)
            if unexplained(scene, _question(genuine), found):
                unlike.append(
                    f"{_question(genuine)[:300]}\n    {found.field}: {found.genuine!r} | {found.ours!r}"[:900]
                )
    assert not unlike, f"{len(unlike)} unexplained:\n" + "\n".join(unlike[:40])


def test_no_reason_is_left_over(shared: RunningServer, request: pytest.FixtureRequest) -> None:
    """A reason that explains nothing any more is taken off the list."""
    explained = _EXPLAINED.get(request.node.callspec.params["shared"], set())
    if not explained:
        pytest.skip("the scenes were not held in this run")
    assert [reason.reason for reason in DIFFERENCES if reason not in explained] == []
