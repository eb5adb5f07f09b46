"""What is PostgreSQL's own: placeholders, types as on SQLite, addresses without passwords, commits in doubt."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from stile.kernel.errors import Corrupt, Invalid, TooSlow, Unavailable
from stile.kernel.settings import Settings, without_secrets
from stile.store import ledger
from stile.store.engines import open_database
from stile.store.postgres import PostgresDatabase
from stile.store.postgres_connection import translated_sql
from stile.testing.postgres import Cluster

SECRET = "postgresql://stile:s3cret@db.example:5433/stile?sslmode=require&password=s3cret"
postgres = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
both = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT ?, ?", "SELECT $1, $2"),
        ("SELECT '?' || ?, 'it''s ?', \"a?\", '%?'", "SELECT '?' || $1, 'it''s ?', \"a?\", '%?'"),
        ("SELECT 1", "SELECT 1"),
    ],
)  # fmt: skip
def test_placeholders_are_numbered_and_quoted_text_stays(sql: str, wanted: str) -> None:
    assert translated_sql(sql) == wanted


def test_password_is_never_shown() -> None:
    settings = Settings(store=SECRET)
    assert settings.store_shown == "postgresql://stile@db.example:5433/stile"
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)
    assert "s3cret" not in without_secrets("postgresql://u:s3cret@h:port/db")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("mysql://u:s3cret@h/db", Invalid),
        ("postgresql://u:s3cret@127.0.0.1:1/db", Unavailable),
        ("postgresql://u:s3cret@127.0.0.1:port/db", Invalid),
        ("postgresql://u:s3cret@127.0.0.1/db?nonsense=s3cret", Invalid),
    ],
)
def test_refusal_names_the_place_without_the_password(tmp_path, url: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        open_database(url, tmp_path)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@both
def test_values_come_back_alike_on_both_engines(db) -> None:
    def work(tx):
        tx.run("CREATE TABLE t (n BIGINT, x DOUBLE PRECISION, s TEXT)")
        tx.many("INSERT INTO t VALUES (?, ?, ?)", [(1, 0.5, "b"), (True, math.nan, "B"), (2**62, -math.inf, "ä%_?")])
        return (
            tx.all("SELECT n, x FROM t ORDER BY s"),
            tx.one("SELECT SUM(n), COUNT(*), MIN(x), 3 / 2, 1 = 1 FROM t WHERE n < ?", (5,)),
            tx.scalar("SELECT COUNT(*) FROM t WHERE s LIKE ?", ("B%",)),
            tx.run("UPDATE t SET n = 0 WHERE n = ?", (1,)),
            tx.one("SELECT 1 FROM t WHERE n = 7"),
        )

    assert db.write(work) == ([(1, None), (1, 0.5), (2**62, -math.inf)], (2, 2, 0.5, 1, 1), 1, 2, None)


@both
@pytest.mark.parametrize("value", [2**63, "half \ud800"])
def test_what_cannot_be_stored_is_the_callers_fault(db, value) -> None:
    with pytest.raises(Invalid):
        db.write(lambda tx: tx.run("INSERT INTO work_starts VALUES ('k', ?, '', ?)", (value, value)))


@postgres
def test_only_a_relaxed_write_is_answered_before_the_sync(db) -> None:
    ask = "SELECT current_setting('synchronous_commit')"
    assert db.write(lambda tx: tx.scalar(ask)) == "on"
    assert db.write(lambda tx: tx.scalar(ask), relaxed=True) == "off"
    assert db.write(lambda tx: tx.scalar(ask)) == "on"


@postgres
def test_a_statement_that_takes_too_long_is_stopped_and_the_store_goes_on(db) -> None:
    def slow(tx):
        tx.run("SET LOCAL statement_timeout = '50ms'")
        return tx.scalar("SELECT pg_sleep(5)")

    for ask, error, said in ((db.read, TooSlow, "longer than"), (db.write, Unavailable, "too long")):
        with pytest.raises(error, match=said):
            ask(slow)
        assert ask(ledger.root)[0] == 0


@postgres
def test_nul_is_refused_with_words(db) -> None:
    with pytest.raises(Invalid, match="NUL"):
        db.write(lambda tx: tx.run("INSERT INTO work_starts VALUES (?, '', '', 1)", ("a\0b",)))


@postgres
def test_texts_sort_by_bytes_whatever_the_database_prefers(db) -> None:
    with psycopg.connect(db._url) as connection:
        found = connection.execute(
            "SELECT COUNT(*), COUNT(*) FILTER (WHERE collation_name = 'C') FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'text' AND table_name NOT IN ('migrations', 'store_writers')"
        ).fetchone()
    assert found is not None
    assert found[0] == found[1] > 100


def test_tables_are_made_once_when_many_servers_start_together(cluster: Cluster) -> None:
    url = cluster.empty()
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: PostgresDatabase(url), range(6)))
    for one in opened:
        one.close()


@postgres
def test_a_newer_store_is_refused(store_url: str) -> None:
    with psycopg.connect(store_url) as connection:
        connection.execute("INSERT INTO migrations VALUES ('9999_later', '', 0)")
    with pytest.raises(Corrupt, match="newer"):
        PostgresDatabase(store_url)


class _Breaking:
    """A connection that breaks right after (or right before) its commit, which ends a pipeline."""

    def __init__(self, real, *, after: bool) -> None:
        self._real, self._after = real, after

    def cursor(self, **options):
        return _BreakingCursor(self, self._real.cursor(**options))

    def commit(self, cursor) -> None:
        if self._after:
            cursor.execute("COMMIT")
            self._real._pipeline.sync()
        self._real.close()
        raise psycopg.OperationalError("the connection was lost")

    def __getattr__(self, name):
        return getattr(self._real, name)


class _BreakingCursor:
    def __init__(self, connection: _Breaking, real) -> None:
        self._connection, self._real = connection, real

    def execute(self, sql, *args, **options):
        return self._connection.commit(self._real) if sql == "COMMIT" else self._real.execute(sql, *args, **options)

    def __getattr__(self, name):
        return getattr(self._real, name)


@postgres
@pytest.mark.parametrize("after", [True, False])
def test_commit_in_doubt_is_settled_and_happens_once(db, after: bool) -> None:
    ran: list[int] = []

    def work(tx):
        ran.append(1)
        return ledger.append(tx, kind="k", use_case="u", subject="s", body={}).position

    db.write(lambda tx: ledger.append(tx, kind="k", use_case="u", subject="before", body={}))
    db._writer = _Breaking(db._writer, after=after)
    assert db.write(work) == 2
    assert len(ran) == (1 if after else 2)
    assert db.read(lambda tx: [entry.subject for entry in ledger.entries(tx)]) == ["before", "s"]


@postgres
def test_doubt_is_said_when_postgresql_does_not_come_back(store_url: str) -> None:
    db = PostgresDatabase(store_url, reconnect_s=0.2)
    try:
        real = db._writer
        db._writer = _Breaking(real, after=True)
        db._url = "postgresql://stile@127.0.0.1:1/gone"
        with pytest.raises(Unavailable, match="not known whether") as caught:
            db.write(lambda tx: ledger.append(tx, kind="k", use_case="u", subject="s", body={}))
        assert caught.value.details == {"outcome": "unknown"}
        with pytest.raises(Unavailable, match="cannot be reached"):
            db.write(ledger.root)
        db._url = store_url
        assert db.write(ledger.root)[0] == 1
    finally:
        db.close()


@postgres
def test_positions_become_visible_in_their_order_when_servers_write_at_once(
    open_db: Callable[[], PostgresDatabase],
) -> None:
    """A reader that follows the outbox never finds something before what it has seen."""
    from stile.store import outbox

    writers, reader = [open_db() for _ in range(3)], open_db()
    done = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while True:
            last = done.is_set()
            seen.extend(p.position for p in reader.read(lambda tx: outbox.after(tx, seen[-1] if seen else 0)))
            if last:
                return

    follower = threading.Thread(target=follow)
    follower.start()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda n: writers[n % 3].write(lambda tx: outbox.append(tx, "Nothing", b"{}")), range(300)))
    done.set()
    follower.join()
    follow()
    assert seen == sorted(seen)
    assert len(seen) == reader.read(lambda tx: tx.scalar("SELECT COUNT(*) FROM outbox")) == 300
