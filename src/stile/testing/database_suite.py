"""The promises of ``store.database.Database``, as tests that every engine passes.

Use it by subclassing with a fixture ``db`` that gives a fresh, migrated database:

    class TestMyEngine(DatabaseSuite):
        @pytest.fixture
        def db(self): ...
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from stile.kernel.errors import Invalid, Unavailable
from stile.kernel.events import Event
from stile.store import ledger, outbox
from stile.store.database import Database, Tx


class SuiteEvent(Event, frozen=True, kw_only=True):
    """An event that only this suite emits."""

    number: int


def _append(tx: Tx, subject: str) -> int:
    return ledger.append(tx, kind="suite", use_case="suite", subject=subject, body={"subject": subject}).position


def _emit(tx: Tx, number: int) -> None:
    tx.emit(SuiteEvent(number=number))


def _set(tx: Tx, column: str, content: object) -> None:
    tx.run(f"UPDATE ledger SET {column} = ? WHERE position = 4", (content,))


def _get(tx: Tx, column: str) -> object:
    return tx.scalar(f"SELECT {column} FROM ledger WHERE position = 4")


def _fail_after_writing(tx: Tx) -> None:
    _append(tx, "never")
    tx.emit(SuiteEvent(number=0))
    raise Invalid("no")


class DatabaseSuite:
    """Behaviour every ``Database`` shares."""

    def test_a_write_is_seen_when_it_has_returned(self, db: Database) -> None:
        """Read your writes."""
        db.write(lambda tx: _append(tx, "one"))
        assert db.read(lambda tx: [entry.subject for entry in ledger.entries(tx)]) == ["one"]

    def test_a_failed_write_leaves_nothing_when_it_raises(self, db: Database) -> None:
        """Rows and events of a failed write are gone; the error is the caller's own."""
        with pytest.raises(Invalid):
            db.write(_fail_after_writing)
        assert db.read(lambda tx: (ledger.root(tx)[0], outbox.last_position(tx))) == (0, 0)

    def test_others_are_not_disturbed_when_one_write_of_a_group_fails(self, db: Database) -> None:
        """A failure takes back only its own rows."""

        async def storm() -> list[object]:
            jobs = [
                db.awrite(_fail_after_writing) if n % 3 == 0 else db.awrite(partial(_append, subject=str(n)))
                for n in range(60)
            ]
            return await asyncio.gather(*jobs, return_exceptions=True)

        results = asyncio.run(storm())
        assert sum(isinstance(result, Invalid) for result in results) == 20
        subjects = db.read(lambda tx: [entry.subject for entry in ledger.entries(tx)])
        assert sorted(subjects, key=int) == [str(n) for n in range(60) if n % 3]
        assert db.read(ledger.verify) == []

    def test_a_write_is_kept_when_its_caller_stops_waiting(self, db: Database) -> None:
        """Cancelling ends the waiting, not the write; and others of the same loop get their answers."""

        async def scene() -> list[int]:
            first = asyncio.create_task(db.awrite(lambda tx: _append(tx, "left alone")))
            others = [asyncio.create_task(db.awrite(partial(_append, subject=f"s{n}"))) for n in range(20)]
            await asyncio.sleep(0)
            first.cancel()
            return await asyncio.gather(*others)

        assert len(set(asyncio.run(scene()))) == 20
        assert "left alone" in [entry.subject for entry in db.read(ledger.entries)]

    def test_reading_sees_one_state_when_others_write(self, db: Database) -> None:
        """A read transaction does not see what is written while it runs."""
        counts = []

        def look(tx: Tx) -> None:
            counts.append(ledger.root(tx)[0])
            writer = threading.Thread(target=lambda: db.write(lambda inner: _append(inner, "while reading")))
            writer.start()
            writer.join()
            counts.append(ledger.root(tx)[0])

        db.read(look)
        assert counts == [0, 0]
        assert db.read(ledger.root)[0] == 1

    def test_a_reader_cannot_write(self, db: Database) -> None:
        """Writing in a read transaction is refused and changes nothing."""
        with pytest.raises(Exception, match=r"(?i)read"):
            db.read(lambda tx: _append(tx, "sneaky"))
        assert db.read(ledger.root)[0] == 0

    def test_events_arrive_in_order_when_they_are_emitted(self, db: Database) -> None:
        """The outbox keeps the order of commits, and listeners are told after the commit."""
        told = threading.Event()
        db.on_commit(told.set)
        for number in range(5):
            db.write(partial(_emit, number=number))
        assert told.wait(5)
        posted = db.read(lambda tx: outbox.after(tx, 0))
        assert [item.event for item in posted] == [SuiteEvent(number=n) for n in range(5)]
        assert [item.position for item in posted] == sorted(item.position for item in posted)

    def test_time_stands_still_inside_a_transaction(self, db: Database) -> None:
        """One transaction has one time."""
        first, second = db.write(lambda tx: (tx.now_ms(), (_append(tx, "x"), tx.now_ms())[1]))
        assert first == second

    def test_a_changed_byte_is_found_when_the_ledger_is_checked(self, db: Database) -> None:
        """Every single field of an entry is covered by its hash."""
        for n in range(9):
            db.write(partial(_append, subject=str(n)))
        for column, value in [
            ("body", b'{"subject":"9"}'),
            ("subject", "x"),
            ("at", 1),
            ("kind", "k"),
            ("use_case", "u"),
        ]:
            before = db.read(partial(_get, column=column))
            for content in (value, before):
                db.write(partial(_set, column=column, content=content))
                found = db.read(ledger.verify)
                assert bool(found) is (content is value), column
        db.write(lambda tx: tx.run("DELETE FROM ledger WHERE position = 9"))
        assert db.read(ledger.verify) != []

    def test_nothing_is_accepted_when_the_store_is_closed(self, db: Database) -> None:
        """After close, calls say so."""
        db.close()
        with pytest.raises(Unavailable):
            db.write(lambda tx: _append(tx, "late"))
        with pytest.raises(Unavailable):
            db.read(ledger.root)
