"""A server that is gone is noticed by its number standing still, and its work is taken over."""

from __future__ import annotations

from stile.store.database import Database
from stile.work import server_records
from stile.work.servers import Servers


def test_work_is_taken_over_when_a_server_stands_still_and_not_while_it_lives(db: Database) -> None:
    taken: list[str] = []
    one, two = Servers(db, "one", taken.append), Servers(db, "two", lambda gone: None)
    for _ in range(20):
        two.look_round()
        one.look_round()
    assert taken == []
    for _ in range(20):
        one.look_round()
    assert taken == ["two"]
    assert db.read(lambda tx: server_records.others(tx, "one")) == {}


def test_work_is_taken_over_at_once_when_a_server_has_said_goodbye(db: Database) -> None:
    taken: list[str] = []
    one, two = Servers(db, "one", taken.append), Servers(db, "two", lambda gone: None)
    two.look_round()
    two.leave()
    one.look_round()
    assert taken == ["two"]
