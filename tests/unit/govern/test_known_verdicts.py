"""Known verdicts are those that judging again would give, and are asked for only while nothing they rest on moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from govern_cases import NOW, POLICY
from govern_world import USE_CASE, fresh, measure, promote, register

from stile.govern import assess, policies, snapshot
from stile.govern.assess import World
from stile.govern.gate import Judged
from stile.govern.known_verdicts import KnownVerdicts
from stile.store.database import Database

_DAY = 86_400_000


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Versions that were really judged, in order; nothing is known at first."""
    asked: list[int] = []
    real = assess.judge

    def watched(compiled, *, candidate, **given) -> Judged:
        asked.append(candidate.version)
        return real(compiled, candidate=candidate, **given)

    monkeypatch.setattr(assess, "judge", watched)
    monkeypatch.setattr(assess, "_verdicts", KnownVerdicts())
    return asked


def _world(db: Database) -> World:
    return db.read(lambda tx: snapshot.read_world(tx, USE_CASE))


def _without_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> assess.Assessment:
    with monkeypatch.context() as patch:
        patch.setattr(assess, "_verdicts", KnownVerdicts(most=0))
        return assess.assess(world)


def test_only_what_moved_is_judged_again(tmp_path: Path, judged: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """New evidence about one version judges that one; a new champion or policy judges all; the answers never differ."""
    db = fresh(tmp_path)
    for auc in (0.98, 0.99, 0.985):
        db.write(lambda tx, auc=auc: register(tx, auc=auc))

    def asked_after(change: Callable[[], object] | None) -> list[int]:
        if change is not None:
            change()
        judged.clear()
        found = assess.assess(_world(db))
        versions = judged.copy()
        assert found == _without_memory(_world(db), monkeypatch)
        return versions

    assert asked_after(None) == [1, 2, 3]
    assert asked_after(None) == []
    assert asked_after(lambda: db.write(lambda tx: measure(tx, 2, auc=0.991))) == [2]
    assert asked_after(lambda: promote(db, 2)) == [1, 3]  # the champion is compared with nobody, as before
    stricter = POLICY.replace("0.93", "0.96")
    assert asked_after(
        lambda: db.write(lambda tx: policies.publish(tx, use_case=USE_CASE, yaml=stricter, by="paula"))
    ) == [1, 2, 3]
    assert asked_after(None) == []
    db.close()


@pytest.mark.parametrize(
    "clocked",
    [
        POLICY.replace("    min_n: {positives: 20}", "    min_n: {positives: 20}\n    max_age_days: 1"),
        POLICY.replace('evidence("latency").p99_ms <= 20', 'age("evidence") < 1'),
        POLICY.replace('evidence("latency").p99_ms <= 20', f"now < {NOW + _DAY}"),
    ],
)
def test_a_policy_that_looks_at_the_clock_is_asked_every_time(tmp_path: Path, judged: list[int], clocked: str) -> None:
    assert clocked != POLICY
    db = fresh(tmp_path, policy=clocked)
    db.write(register)
    world = _world(db)
    today = assess.assess(world).results[0]
    in_a_week = assess.assess(msgspec.structs.replace(world, now=NOW + 7 * _DAY)).results[0]
    assert judged == [1, 1]
    assert not today.failed + today.unknown
    assert in_a_week.failed + in_a_week.unknown
    db.close()


def test_the_oldest_are_forgotten_first() -> None:
    verdict = Judged(rules=[], warnings=[], failed=[], unknown=[], scopes=[], order=[float("inf"), None])
    asked: list[int] = []
    known = KnownVerdicts(most=2)

    def ask(number: int) -> Judged:
        def work() -> Judged:
            asked.append(number)
            return verdict

        return known.judged(("inputs", number), work)

    assert ask(1) == ask(1) == ask(2) == ask(1) == verdict
    assert asked == [1, 2]
    ask(3)  # 2 was used longest ago
    ask(1)
    assert asked == [1, 2, 3]
    ask(2)
    assert asked == [1, 2, 3, 2]


def test_hundreds_of_versions_are_compared_in_one_pass(tmp_path: Path) -> None:
    """Each version is looked at a fixed number of times, however many there are."""
    looked = 0

    class _Counted(dict):
        def __getitem__(self, version: int) -> Judged:
            nonlocal looked
            looked += 1
            return super().__getitem__(version)

    db = fresh(tmp_path)
    db.write(register)
    world = _world(db)
    case = world.cases[0]
    verdict = assess.assess(world).results[0]
    judged = Judged(rules=[], warnings=[], failed=[], unknown=[], scopes=[], order=verdict.order)
    many = [
        msgspec.structs.replace(case, candidate=msgspec.structs.replace(case.candidate, version=number))
        for number in range(1, 301)
    ]
    first = assess._first_by_data(many, _Counted(dict.fromkeys(range(1, 301), judged)))
    assert looked == 300
    assert list(first.values()) == [1]  # all alike: the oldest
    db.close()
