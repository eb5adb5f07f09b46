"""Events reach each subscriber exactly once, in order; failures are retried, then set aside in the open."""

from __future__ import annotations

import threading
import time

import pytest

from stile.kernel.errors import Invalid
from stile.kernel.events import Event
from stile.store import outbox
from stile.store.database import Database
from stile.work import records
from stile.work.subscriptions import TRIES, Subscriptions


class WorkTestHappened(Event, frozen=True, kw_only=True):
    number: int


class WorkTestEnded(Event, frozen=True, kw_only=True):
    number: int


pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def store(db: Database) -> Database:
    return db


def emit(store: Database, *numbers: int) -> None:
    for number in numbers:
        store.write(lambda tx, n=number: tx.emit(WorkTestHappened(number=n)))


def test_handlers_get_every_event_once_and_in_order_when_many_are_emitted(store):
    seen: dict[str, list[int]] = {"one": [], "two": []}
    subscriptions = Subscriptions(store)
    subscriptions.on("one", WorkTestHappened, lambda tx, event, at: seen["one"].append(event.number))
    subscriptions.after_commit("two", WorkTestHappened, lambda event, at: seen["two"].append(event.number))
    emit(store, *range(30))
    subscriptions.drain()
    subscriptions.drain()
    assert seen == {"one": list(range(30)), "two": list(range(30))}


def test_events_emitted_by_a_handler_are_delivered_too_when_drained(store):
    ended: list[int] = []
    subscriptions = Subscriptions(store)
    subscriptions.on("chain", WorkTestHappened, lambda tx, e, at: tx.emit(WorkTestEnded(number=e.number + 1)))
    subscriptions.on("watch", WorkTestEnded, lambda tx, e, at: ended.append(e.number))
    emit(store, 1)
    subscriptions.drain()
    assert ended == [2]


def test_nothing_is_repeated_when_a_new_process_takes_over(store):
    counts: list[int] = []
    for _ in range(2):
        subscriptions = Subscriptions(store)
        subscriptions.on("one", WorkTestHappened, lambda tx, event, at: counts.append(event.number))
        emit(store, len(counts))
        subscriptions.drain()
    assert counts == [0, 1]


def test_the_effect_of_a_failing_handler_is_taken_back_and_tried_again(store):
    tries: list[int] = []

    def fragile(tx, event, at):
        tx.run("INSERT INTO work_starts (key, name, arguments, at) VALUES (?, 'x', '{}', 0)", (f"t{event.number}",))
        tries.append(event.number)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    subscriptions = Subscriptions(store, first_pause_s=0.01)
    subscriptions.on("fragile", WorkTestHappened, fragile)
    emit(store, 7)
    subscriptions.drain()
    assert tries == [7, 7, 7]
    assert [start.key for start in store.read(records.starts)] == ["t7"]
    assert store.read(records.dead_letters) == []


def test_an_event_becomes_a_dead_letter_and_others_go_on_when_its_handler_keeps_failing(store):
    seen: list[int] = []

    def picky(tx, event, at):
        if event.number == 1:
            raise Invalid("I do not like ones")
        seen.append(event.number)

    others: list[int] = []
    subscriptions = Subscriptions(store, first_pause_s=0.01)
    subscriptions.on("picky", WorkTestHappened, picky)
    subscriptions.on("calm", WorkTestHappened, lambda tx, event, at: others.append(event.number))
    emit(store, 0, 1, 2)
    subscriptions.drain()
    assert seen == [0, 2]
    assert others == [0, 1, 2]
    (letter,) = store.read(records.dead_letters)
    assert (letter.subscriber, letter.event, letter.tries) == ("picky", "WorkTestHappened", TRIES)
    assert "I do not like ones" in letter.error


def test_the_thread_delivers_soon_after_a_commit_and_stops_when_told(store):
    heard = threading.Event()
    subscriptions = Subscriptions(store, idle_s=30)
    subscriptions.after_commit("one", WorkTestHappened, lambda event, at: heard.set())
    subscriptions.start()
    time.sleep(0.05)
    emit(store, 1)
    assert heard.wait(5)
    began = time.monotonic()
    subscriptions.stop()
    assert time.monotonic() - began < 2
    assert store.read(lambda tx: outbox.position_of(tx, "one")) == 1


def test_effects_happen_once_when_two_servers_deliver_the_same_events(open_db):
    one, two = open_db(), open_db()
    counts: list[int] = []

    def count(tx, event, at):
        records.add_start(tx, key=f"{event.number}-{len(counts)}", name="n", arguments={})
        counts.append(event.number)

    pairs = []
    for db in (one, two):
        subscriptions = Subscriptions(db, idle_s=0.05)
        subscriptions.on("one", WorkTestHappened, count)
        subscriptions.start()
        pairs.append(subscriptions)
    emit(one, *range(20))
    emit(two, *range(20, 40))
    for subscriptions in pairs:
        subscriptions.drain()
        subscriptions.stop()
    assert sorted(int(start.key.partition("-")[0]) for start in one.read(records.starts)) == list(range(40))


def test_a_second_handler_for_the_same_event_is_refused_when_the_subscriber_has_one(store):
    subscriptions = Subscriptions(store)
    subscriptions.on("one", WorkTestHappened, lambda tx, event, at: None)
    with pytest.raises(ValueError, match="already handles"):
        subscriptions.on("one", WorkTestHappened, lambda tx, event, at: None)
    with pytest.raises(ValueError, match="both inside and after"):
        subscriptions.after_commit("one", WorkTestEnded, lambda event, at: None)


def test_passed_over_events_cost_one_write_together_and_are_not_read_again(store):
    subscriptions = Subscriptions(store)
    for name in ("one", "two", "three"):
        subscriptions.on(name, WorkTestEnded, lambda tx, event, at: None)
    emit(store, *range(5))
    writes: list[int] = []
    write = store.write
    store.write = lambda work, **options: writes.append(1) or write(work, **options)
    subscriptions.drain()
    assert len(writes) == 1
    last = store.read(outbox.last_position)
    assert [store.read(lambda tx, n=name: outbox.position_of(tx, n)) for name in ("one", "two", "three")] == [last] * 3
