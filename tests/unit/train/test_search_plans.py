"""The work of the usual searches grows with the page, not with the store.

It is counted in steps of SQLite's machine, and in blocks that PostgreSQL reads: with what it knows of the tables after
ANALYZE, and with nothing known, as after many runs were logged in a moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from stile.store.database import Database, Row, Tx
from stile.store.migrations import Dialect
from stile.store.sqlite import SqliteDatabase
from stile.testing import postgres
from stile.testing.many_runs import seed
from stile.train import run_facets, run_search

_SMALL, _LARGE, _PAGE = 5_000, 50_000, 100
_SEARCHES: dict[str, dict[str, Any]] = {
    "newest": {},
    "oldest": {"order_by": ["attributes.start_time ASC"]},
    "metric filter, by the metric": {"filter": "metrics.acc > 0.5", "order_by": ["metrics.acc DESC"]},
    "metric filter, by the metric, upwards": {"filter": "metrics.acc > 0.5", "order_by": ["metrics.acc ASC"]},
    "by another metric": {"filter": "metrics.acc > 0.5", "order_by": ["metrics.loss ASC"]},
    "metric and param": {"filter": "metrics.acc > 0.5 AND params.model = 'm3'"},
    "metric and param, by the metric": {
        "filter": "metrics.acc > 0.5 AND params.model = 'm3'",
        "order_by": ["metrics.acc DESC"],
    },
    "tag equality": {"filter": "tags.team = 't3'"},
    "rare tag": {"filter": "tags.owner = 'o77'"},
    "tag beginning": {"filter": "tags.team LIKE 't3%'"},
    "name beginning": {"filter": "attributes.run_name LIKE 'run-0007%'"},
    "name": {"filter": "attributes.run_name = 'run-00077'"},
    "by name": {"order_by": ["attributes.run_name ASC"]},
    "by param": {"order_by": ["params.lr ASC"]},
    "by param, downwards": {"order_by": ["params.lr DESC"]},
    "by param of few values": {"order_by": ["params.model ASC"]},
    "by param of few values, downwards": {"order_by": ["params.model DESC"]},
    "by param of few values, then metric": {"order_by": ["params.model ASC", "metrics.acc DESC"]},
    "by state, then param of few values, then metric": {
        "order_by": ["attributes.status", "params.model DESC", "metrics.acc ASC"],
    },
    "by user, then end": {"order_by": ["attributes.user_id", "attributes.end_time DESC"]},
    "by param of few values, oldest first": {"order_by": ["params.model ASC", "attributes.start_time ASC"]},
    "by tag of few values": {"order_by": ["tags.team ASC"]},
    "by tag of more values": {"order_by": ["tags.owner ASC"]},
    "by state": {"order_by": ["attributes.status ASC"]},
    "by user": {"order_by": ["attributes.user_id DESC"]},
    "by end": {"order_by": ["attributes.end_time DESC"]},
    "by end, upwards": {"order_by": ["attributes.end_time ASC"]},
    "a state that all are in": {"filter": "attributes.status = 'FINISHED'"},
    "a state nobody is in": {"filter": "attributes.status = 'FAILED'"},
    "a user of all": {"filter": "attributes.user_id = 'ada'"},
    "a user of none": {"filter": "attributes.user_id = 'bob'"},
    "no user but one": {"filter": "attributes.user_id != 'ada'"},
    "some user": {"filter": "attributes.user_id ILIKE '%A%'"},
    "no state but one": {"filter": "attributes.status != 'FINISHED'"},
    "deleted or not": {"view": "ALL"},
    "deleted or not, by metric": {"view": "ALL", "order_by": ["metrics.acc DESC"]},
    "of several experiments": {"experiment_ids": ["0", "1", "2"]},
    "of several experiments, by param": {"experiment_ids": ["0", "1", "2"], "order_by": ["params.model DESC"]},
    "a user of all, by metric": {"filter": "attributes.user_id = 'ada'", "order_by": ["metrics.loss DESC"]},
    "ended lately": {"filter": "attributes.end_time > 1700000000000"},
    "ended before all": {"filter": "attributes.end_time < 1600000000000"},
    "one run": {"filter": "attributes.run_id = '00000000000000000000000000000000'"},
    "nothing": {"filter": "metrics.acc > 2", "order_by": ["metrics.acc DESC"]},
    "began in a minute": {"filter": "start_time >= 1700000100000 AND start_time < 1700000160000"},
    "a range without any": {"filter": "metrics.acc > 0.5 AND metrics.acc < 0.4"},
    "a key that few have": {"filter": "params.rare IS NOT NULL"},
    "a key that few have, another value": {"filter": "metrics.rare != 9"},
    "a key that few have, by it": {"filter": "params.rare != 'x'", "order_by": ["params.rare DESC"]},
    "no value but the one that all have": {"filter": "params.same != 'yes'"},
    "a few values, none like it": {"filter": "params.model ILIKE '%zz%'"},
    "two values at once": {"filter": "params.model = 'm3' AND tags.owner = 'o3'"},
    "beginning of an id": {"filter": "attributes.run_id LIKE '0000000000000000000000009e3779b1%'"},
    "a dataset": {"filter": "dataset.name = 'wine'"},
    "a dataset nobody has read": {"filter": "dataset.digest LIKE '%zz%'", "order_by": ["metrics.acc DESC"]},
    "a context of no dataset": {"filter": "dataset.context = 'zz'"},
    "without a key, by it": {"filter": "params.rare IS NULL", "order_by": ["params.rare"]},
    "of experiments without runs": {"experiment_ids": ["0", *map(str, range(1, 60))], "order_by": ["params.lr"]},
}
_MORE = """
INSERT INTO run_keys (id, name) VALUES (100, 'rare'), (101, 'same');
INSERT INTO params (run, key, experiment, value)
    SELECT id, 100, 0, 'v' || id FROM runs WHERE id % 1000 = 7 AND id < 5000;
INSERT INTO params (run, key, experiment, value) SELECT id, 101, 0, 'yes' FROM runs;
INSERT INTO latest (run, key, experiment, value, step, at, low, high)
    SELECT id, 100, 0, 0.5, 1, 1, 0.5, 0.5 FROM runs WHERE id % 1000 = 8 AND id < 5000;
INSERT INTO input_datasets (id, experiment, name, digest, source_type, source, schema_text, profile)
    VALUES (1, 0, 'wine', 'd1', 'local', '', '', '');
INSERT INTO run_inputs (run, dataset, context, tags) SELECT id, 1, 'train', '{}' FROM runs WHERE id <= 50;
INSERT INTO experiments (id, name, artifact_location, lifecycle, created_at, updated_at, created_by)
    SELECT id, 'e' || id, '', 'active', 1, 1, 'ada' FROM runs WHERE id < 60
"""
"""What is rare in both stores alike."""


def _seed(tx: Tx, runs: int, dialect: Dialect = "sqlite") -> None:
    seed(tx, runs, dialect=dialect)
    for sql in _MORE.split(";"):
        tx.run(sql)


class _Counted:
    """A store whose readers count the steps they take."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.db = SqliteDatabase(folder / f"{runs}.db")
        self.steps = 0
        self.db.write(lambda tx: _seed(tx, runs))
        readers = [self.db._readers.get() for _ in range(self.db._readers.qsize())]
        for reader in readers:
            reader.connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._count)
            self.db._readers.put(reader)

    def search(self, **question: Any) -> tuple[int, run_search.RunPage]:
        self.steps = 0
        page = self.db.read(
            lambda tx: run_search.search(tx, **{"experiment_ids": ["0"], "max_results": _PAGE, **question})
        )
        return self.steps, page

    def _count(self, event: dict[str, Any]) -> None:
        self.steps += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[_Counted, _Counted]]:
    begun = time.monotonic()
    folder = tmp_path_factory.mktemp("plans")
    both = _Counted(folder, _SMALL), _Counted(folder, _LARGE)
    assert time.monotonic() - begun < 20
    yield both
    for one in both:
        one.db.close()


@pytest.mark.parametrize("title", _SEARCHES)
def test_ten_times_the_runs_cost_no_more(stores: tuple[_Counted, _Counted], title: str) -> None:
    (few, small), (many, large) = (store.search(**_SEARCHES[title]) for store in stores)
    assert len(large.runs) >= len(small.runs)
    assert many <= 2 * few + 200 * _PAGE, f"{title}: {few} steps with {_SMALL} runs, {many} with {_LARGE}"
    assert many < 1500 * _PAGE


_READ_THROUGH: dict[str, tuple[dict[str, Any], int]] = {
    "a name like nothing": ({"filter": "attributes.run_name LIKE '%zz%'", "order_by": ["metrics.acc DESC"]}, 12),
    "a name like nothing, in any case": ({"filter": "attributes.run_name ILIKE '%zz%'"}, 14),
    "two values that are never together": ({"filter": "params.model = 'm3' AND tags.owner LIKE 'o%7777%'"}, 10),
    "by the greatest of a metric": ({"order_by": ["max(metrics.acc) DESC"]}, 24),
    "the least of a metric, with a param": (
        {"filter": "params.model = 'm3'", "order_by": ["min(metrics.loss) ASC"]}, 25,
    ),
    "a param that all have": ({"filter": "params.same IS NULL"}, 12),
    "a param like nothing": ({"filter": "params.lr LIKE '%zz%'"}, 15),
}  # fmt: skip


@pytest.mark.parametrize("title", _READ_THROUGH)
def test_what_no_index_answers_costs_a_few_steps_a_run(stores: tuple[_Counted, _Counted], title: str) -> None:
    question, most = _READ_THROUGH[title]
    steps, _ = stores[1].search(**question)
    assert steps < most * _LARGE, f"{title}: {steps / _LARGE:.1f} steps for each run"


def test_a_later_page_costs_no_more_than_the_first(stores: tuple[_Counted, _Counted]) -> None:
    orders = (
        "",
        "metrics.loss ASC",
        "params.lr DESC",
        "params.model ASC",
        "tags.owner DESC",
        "attributes.end_time ASC",
    )
    for question in [{"order_by": [order]} if order else {} for order in orders]:
        first, page = stores[1].search(**question)
        seen = {run.info.run_id for run in page.runs}
        for _ in range(20):
            steps, page = stores[1].search(page_token=page.next_page_token, **question)
            assert not seen & {run.info.run_id for run in page.runs}
            seen |= {run.info.run_id for run in page.runs}
        assert len(seen) == 21 * _PAGE
        assert steps <= 2 * first, f"{question}: {first} steps for the first page, {steps} for the last"


_RARE = {
    "metrics.acc > 0.9 AND params.model = 'm3'": [],
    "tags.team = 't3'": ["params.model DESC"],
    "metrics.acc > 0.7": ["params.model ASC"],
}
"""A tenth, a fifth, three tenths; each with a seventh."""


@pytest.mark.parametrize("text", _RARE)
def test_what_is_rare_twice_is_met_without_looking_at_every_run(stores: tuple[_Counted, _Counted], text: str) -> None:
    """Up to 70 runs are looked at for each that is found."""
    steps, page = stores[1].search(filter=text, order_by=_RARE[text])
    assert len(page.runs) == _PAGE
    assert steps < 30 * 70 * _PAGE


_FACETS = {"": 1500, "metrics.acc > 0.5": 30_000, "params.model = 'm3'": 60_000}
"""Filters, and most blocks: a thousand runs are found first, each of which costs as many as are looked at for it."""
_AMBIGUOUS = ("name", "name beginning", "a state nobody is in", "ended before all")
"""Found by one of several indexes that begin alike: which, PostgreSQL only knows after ANALYZE."""


class _Explained:
    """A transaction that has PostgreSQL explain every statement, and adds up the blocks each has read."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.blocks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self._explain(sql, params)
        return self._tx.all(sql, params)

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        self._explain(sql, params)
        return self._tx.one(sql, params)

    def scalar(self, sql: str, params: Sequence[Any] = ()) -> Any:
        self._explain(sql, params)
        return self._tx.scalar(sql, params)

    def _explain(self, sql: str, params: Sequence[Any]) -> None:
        found = self._tx.scalar(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        self.blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@pytest.fixture(scope="module")
def seeded(cluster: postgres.Cluster) -> Iterator[tuple[Database, Database]]:
    """Few runs and many, of which PostgreSQL knows nothing."""
    from stile.store.postgres import PostgresDatabase

    both = PostgresDatabase(cluster.fresh()), PostgresDatabase(cluster.fresh())
    for db, runs in zip(both, (_SMALL, _LARGE), strict=True):
        db.write(lambda tx: _seed(tx, runs, dialect="postgres"))  # noqa: B023  called at once
    yield both
    for db in both:
        db.close()


@pytest.fixture(scope="module", params=["nothing known", "analyzed"])
def explained(seeded: tuple[Database, Database], request: pytest.FixtureRequest) -> tuple[Database, Database]:
    if request.param == "analyzed":
        for db in seeded:
            db.write(lambda tx: tx.run("ANALYZE"))
    return seeded


def _blocks(db: Database, work: Callable[[Tx], Any]) -> int:
    def explaining(tx: Tx) -> int:
        explained = _Explained(tx)
        work(explained)  # type: ignore[arg-type]
        return explained.blocks

    return db.read(explaining)


@pytest.mark.parametrize("title", _SEARCHES)
def test_postgres_reads_no_more_blocks_of_ten_times_the_runs(explained: tuple[Database, Database], title: str) -> None:
    question = _SEARCHES[title]
    if title in _AMBIGUOUS and not explained[1].read(
        lambda tx: tx.scalar("SELECT COUNT(*) FROM pg_stats WHERE tablename = 'runs'")
    ):
        return
    few, many = (
        _blocks(db, lambda tx: run_search.rows(tx, **{"experiment_ids": ["0"], "max_results": _PAGE, **question}))
        for db in explained
    )
    assert many <= 2 * few + 25 * _PAGE, f"{title}: {few} blocks with {_SMALL} runs, {many} with {_LARGE}"
    assert many < 120 * _PAGE


@pytest.mark.parametrize("text", _FACETS)
def test_postgres_counts_without_reading_every_run(explained: tuple[Database, Database], text: str) -> None:
    assert _blocks(explained[1], lambda tx: run_facets.facets(tx, 0, text)) < _FACETS[text]


def test_postgres_plans_a_search_that_is_asked_often_with_its_values(explained: tuple[Database, Database]) -> None:
    """The plan for any values walks runs by their start, or not, without knowing how rare what is asked for is."""
    generic = "SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE '%ORDER BY r.start_time%' AND {} > 0"
    text = "metrics.acc > 0.9 AND params.model = 'm3'"

    def often(tx: Tx) -> tuple[int, int]:
        for _ in range(15):
            run_search.rows(tx, experiment_ids=["0"], filter=text, max_results=_PAGE)
        return tx.scalar(generic.format("generic_plans")), tx.scalar(generic.format("custom_plans"))

    asked_for_any, asked_for_these = explained[1].read(often)
    assert asked_for_any == 0
    assert asked_for_these > 0
