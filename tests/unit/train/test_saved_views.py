"""Saved views: whose they are, who sees and changes them, and what cannot be saved."""

from __future__ import annotations

import pytest

from stile.kernel.errors import Exists, Forbidden, Invalid, Missing, StileError
from stile.kernel.permission import LOCAL_USER, Principal, PrincipalKind, Role
from stile.store.sqlite import SqliteDatabase
from stile.train import experiments, purge_records, saved_views
from stile.train.saved_view_records import Query, SavedView

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


def _person(name: str, role: Role, *, system: bool = False) -> Principal:
    held = frozenset({role})
    if system:
        return Principal(name=name, kind=PrincipalKind.PERSON, system_roles=held)
    return Principal(name=name, kind=PrincipalKind.PERSON, team_roles={"credit": held})


ADA, BOB = _person("ada", Role.DATA_SCIENTIST), _person("bob", Role.DATA_SCIENTIST)
EVE, OPS = _person("eve", Role.VIEWER), _person("ops", Role.OPERATOR, system=True)
QUERY = Query(
    filter="metrics.auc > 0.9", columns=["metrics.auc", "params.`max depth`", "took"], sort="metrics.auc DESC",
    baseline="0" * 32,
)  # fmt: skip


def _save(db: SqliteDatabase, by: Principal = ADA, name: str = "best", **given: object) -> SavedView:
    given = {"query": QUERY, "shared": False} | given
    return db.write(lambda tx: saved_views.save(tx, "0", name=name, by=by, **given))  # type: ignore[arg-type]


def _seen(db: SqliteDatabase, by: Principal) -> list[str]:
    return [each.name for each in db.read(lambda tx: saved_views.listing(tx, "0", by))]


def test_view_is_kept_as_it_was_saved(db: SqliteDatabase) -> None:
    made = _save(db)
    assert (made.name, made.owner, made.shared, made.query, made.experiment_id) == ("best", "ada", False, QUERY, "0")
    assert db.read(lambda tx: saved_views.get(tx, "0", made.id, ADA)) == made


def test_private_view_is_its_owners_alone(db: SqliteDatabase) -> None:
    made = _save(db)
    _save(db, name="for all", shared=True)
    assert (_seen(db, ADA), _seen(db, BOB), _seen(db, EVE)) == (["best", "for all"], ["for all"], ["for all"])
    for act in (
        lambda tx: saved_views.get(tx, "0", made.id, BOB),
        lambda tx: saved_views.change(tx, "0", made.id, by=BOB, name="mine"),
        lambda tx: saved_views.delete(tx, "0", made.id, by=OPS),
    ):
        with pytest.raises(Missing):
            db.write(act)


def test_shared_view_is_changed_by_its_owner_and_taken_away_by_an_operator(db: SqliteDatabase) -> None:
    made = _save(db, shared=True)
    with pytest.raises(Forbidden, match="belongs to ada"):
        db.write(lambda tx: saved_views.change(tx, "0", made.id, by=BOB, name="mine"))
    with pytest.raises(Forbidden):
        db.write(lambda tx: saved_views.delete(tx, "0", made.id, by=BOB))
    changed = db.write(lambda tx: saved_views.change(tx, "0", made.id, by=ADA, name="better", shared=False))
    assert (changed.name, changed.shared, changed.query) == ("better", False, QUERY)
    db.write(lambda tx: saved_views.change(tx, "0", made.id, by=ADA, shared=True, query=Query()))
    db.write(lambda tx: saved_views.delete(tx, "0", made.id, by=OPS))
    assert _seen(db, ADA) == []


def test_sharing_takes_the_right_to_log(db: SqliteDatabase) -> None:
    with pytest.raises(Forbidden, match="Sharing"):
        _save(db, by=EVE, shared=True)
    made = _save(db, by=EVE)
    with pytest.raises(Forbidden):
        db.write(lambda tx: saved_views.change(tx, "0", made.id, by=EVE, shared=True))
    assert _save(db, by=LOCAL_USER, shared=True).shared


def test_names_are_taken_once_per_person(db: SqliteDatabase) -> None:
    _save(db)
    second = _save(db, name="second")
    _save(db, by=BOB)
    with pytest.raises(Exists):
        _save(db)
    with pytest.raises(Exists):
        db.write(lambda tx: saved_views.change(tx, "0", second.id, by=ADA, name="best"))
    db.write(lambda tx: saved_views.change(tx, "0", second.id, by=ADA, name="second"))


@pytest.mark.parametrize(
    "given",
    [{"name": " "}, {"name": "a\nb"}, {"name": " x"}, {"name": "x" * 81}, {"query": Query(filter="metrics.auc >")},
     {"query": Query(sort="sideways")}, {"query": Query(columns=["foo.bar"])}, {"query": Query(baseline="../x")},
     {"query": Query(columns=[f"metrics.m{n}" for n in range(61)])}, {"query": Query(columns=["dataset.name"])}],
)  # fmt: skip
def test_what_could_not_be_shown_is_not_saved(db: SqliteDatabase, given: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        _save(db, **given)  # type: ignore[arg-type]
    assert _seen(db, ADA) == []


def test_nobody_keeps_views_without_end(db: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MOST_PER_PERSON", 2)
    for name in ("a", "b"):
        _save(db, name=name)
    with pytest.raises(Invalid, match="Delete some"):
        _save(db, name="c")


def test_views_belong_to_their_experiment_and_go_with_it(db: SqliteDatabase) -> None:
    other = db.write(lambda tx: experiments.create(tx, name="other", by="ada")).experiment_id
    made = db.write(lambda tx: saved_views.save(tx, other, name="x", query=QUERY, shared=True, by=ADA))
    with pytest.raises(Missing):
        db.read(lambda tx: saved_views.get(tx, "0", made.id, ADA))
    with pytest.raises(StileError):
        db.read(lambda tx: saved_views.listing(tx, "999", ADA))
    db.write(lambda tx: purge_records.drop_experiment(tx, int(other)))
    assert db.read(lambda tx: tx.scalar("SELECT COUNT(*) FROM saved_views")) == 0
