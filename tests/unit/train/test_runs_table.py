"""What the table of runs is made of: pages in both directions, facets, keys, chosen columns."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.store.sqlite import SqliteDatabase
from stile.train import experiments, logged_keys, purge_records, run_counts, run_facets, run_search, run_table, runs
from stile.train.points import Point, pieces
from stile.train.run_facets import Facet
from stile.train.run_values import InputDataset

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)

KINDS = ("tree", "forest", "it's")


@pytest.fixture
def filled(db: SqliteDatabase) -> SqliteDatabase:
    """70 runs of experiment 0, a few deleted, and five of another experiment."""
    chance = random.Random(3)

    def work(tx: Tx) -> None:
        other = experiments.create(tx, name="other", by="ann").experiment_id
        for index in range(75):
            run = runs.create(
                tx, experiment_id="0" if index < 70 else other, by=("ann", "bob")[index % 2], name=f"run {index:02}",
                start_time=index // 3,
                tags=[("team", "blue" if index % 3 else "red"), ("mlflow.secret", str(index % 2))],
            )  # fmt: skip
            metrics = [("loss", Point(1, step, chance.random())) for step in range(3)]
            if index % 4:
                metrics.append(("auc", Point(1, 0, math.nan if index % 7 == 0 else chance.choice([0.1, 0.5, 0.9]))))
            params = [("kind", chance.choice(KINDS)), ("lr", str(chance.random())), ("seed", "1")]
            runs.log_batch(tx, run.info.run_id, metrics=pieces(metrics), params=params, tags=[])
            if index % 2:
                runs.update(tx, run.info.run_id, status="FINISHED", end_time=100 + index)
            if index % 5 == 0:
                tables = [InputDataset(name="north", digest=str(index % 10)), InputDataset(name="south", digest="1")]
                runs.log_inputs(tx, run.info.run_id, datasets=tables[: 1 + index % 2])
            if index % 23 == 0:
                runs.delete(tx, run.info.run_id)

    db.write(work)
    return db


def _rows(db: SqliteDatabase, **given: object) -> run_search.RowPage:
    return db.read(lambda tx: run_search.rows(tx, experiment_ids=["0"], **given))  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [[], ["metrics.auc DESC"], ["metrics.auc ASC"], ["params.kind"], ["end_time DESC"]])
@pytest.mark.parametrize("text", ["", "params.kind = 'tree'", "metrics.loss > 0.2"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_pages_lead_back_the_way_they_led_on(filled: SqliteDatabase, order: list[str], text: str, size: int) -> None:
    whole = _rows(filled, filter=text, order_by=order).rows
    pages, after = [], ""
    while True:
        page = _rows(filled, filter=text, order_by=order, max_results=size, after=after)
        assert bool(page.preceding) == bool(after)
        pages.append(page)
        after = page.following
        if not after:
            break
    assert [row for page in pages for row in page.rows] == whole
    back, before = [pages[-1].rows], pages[-1].preceding
    while before:
        page = _rows(filled, filter=text, order_by=order, max_results=size, before=before)
        back.insert(0, page.rows)
        assert page.following, "one came from there"
        before = page.preceding
    assert back == [page.rows for page in pages]


def test_token_of_another_search_does_not_lead_back(filled: SqliteDatabase) -> None:
    token = _rows(filled, max_results=5, after=_rows(filled, max_results=5).following).preceding
    with pytest.raises(Invalid, match="page token"):
        _rows(filled, max_results=5, filter="metrics.auc > 0", before=token)


def _facets(db: SqliteDatabase, text: str = "") -> run_facets.Facets:
    return db.read(lambda tx: run_facets.facets(tx, 0, text))


def _counts(facet: Facet) -> dict[str, int]:
    return {each.value: each.count for each in facet.values}


@pytest.mark.parametrize(
    "text",
    ["", "metrics.auc > 0.3", "params.kind = 'it''s'", "status = 'FINISHED' and tags.team = 'blue'", "run_id = 'x'"],
)
@pytest.mark.parametrize("purged", [False, True])
def test_counts_are_those_of_a_plain_reading(filled: SqliteDatabase, text: str, purged: bool) -> None:
    if purged:
        filled.write(lambda tx: [purge_records.drop_run(tx, run) for run in purge_records.deleted_runs(tx, 10**15)])
    everything = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"])).runs
    found = _facets(filled, text)
    matching = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"], filter=text)).runs
    assert (found.runs, found.more) == (len(matching), False)
    keys = [facet.key for facet in found.facets]
    assert {"lr", "seed", "mlflow.secret", "mlflow.runName"}.isdisjoint(keys)
    if not text:
        assert keys == ["status", "user_id", "name", "kind", "team"]
    for facet in found.facets:
        rest = " and ".join(c for c in text.split(" and ") if facet.key not in c)
        inside = filled.read(lambda tx, rest=rest: run_search.search(tx, experiment_ids=["0"], filter=rest)).runs
        read = {
            "status": lambda run: [run.info.status], "user_id": lambda run: [run.info.user_id],
            "name": lambda run: {d.name for d in run.datasets}, "kind": lambda run: [dict(run.params)["kind"]],
            "team": lambda run: [run.tag("team")],
        }[facet.key]  # fmt: skip
        expected = Counter(value for run in inside for value in read(run))
        assert {k: v for k, v in _counts(facet).items() if v} == dict(expected), facet.key
    if text.startswith("status"):
        assert {f.key: f.chosen for f in found.facets if f.chosen} == {"status": "FINISHED", "team": "blue"}
    assert len(everything) == 66


def test_counting_stops_and_says_so(filled: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_counts, "MOST_COUNTED", 20)
    found = _facets(filled)
    assert (found.runs, found.more) == (20, True)
    status = found.facets[0]
    assert [(each.count, each.more) for each in status.values] == [(20, True), (20, True)]
    under = _facets(filled, "metrics.loss >= 0")
    assert under.more
    assert all(each.more for facet in under.facets for each in facet.values)
    assert sum(_counts(under.facets[0]).values()) == 20


@pytest.mark.parametrize("most", [3, 5])
def test_deleted_runs_are_taken_off_whether_few_or_many(
    filled: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    filled.write(lambda tx: [runs.delete(tx, row.run_id) for row in run_table.load(tx, _rows(filled).rows[:60])])
    left = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"])).runs
    assert len(left) == 6
    monkeypatch.setattr(run_counts, "MOST_COUNTED", most)
    kinds = Counter(dict(run.params)["kind"] for run in left)
    facet = next((each for each in _facets(filled).facets if each.key == "kind"), None)
    if facet is not None:
        assert _counts(facet) == {kind: min(count, most) for kind, count in kinds.items()}
    monkeypatch.setattr(run_counts, "MOST_COUNTED", 1000)
    again = next((each for each in _facets(filled).facets if each.key == "kind"), None)
    assert (again is None) == (len(kinds) == 1)
    assert again is None or _counts(again) == dict(kinds)


def test_key_with_many_values_is_no_facet_unless_it_is_chosen(filled: SqliteDatabase) -> None:
    lr = filled.read(lambda tx: logged_keys.values(tx, "params", 0, logged_keys.keys(tx, "params", 0)["lr"], most=5))
    assert len(lr) == 5
    found = _facets(filled, f"params.lr = '{lr[0]}'")
    facet = next(f for f in found.facets if f.key == "lr")
    assert facet.chosen == lr[0]
    assert found.runs <= 1


def test_keys_and_values_of_an_experiment(filled: SqliteDatabase) -> None:
    def look(tx: Tx) -> tuple[list[str], list[str], list[str], object]:
        params = logged_keys.keys(tx, "params", 0)
        metrics = logged_keys.keys(tx, "latest", 0)
        kinds = logged_keys.values(tx, "params", 0, params["kind"], most=9)
        later = logged_keys.values(tx, "params", 0, params["kind"], most=9, begun="it")
        assert logged_keys.values(tx, "params", 0, params["kind"], most=2) == sorted(KINDS)[:2]
        assert logged_keys.keys(tx, "params", 0, most=2).keys() <= params.keys()
        assert logged_keys.keys(tx, "params", 99) == {}
        return list(params), kinds, later, logged_keys.extremes(tx, 0, metrics["auc"])

    params, kinds, later, extremes = filled.read(look)
    assert params == ["kind", "lr", "seed"]
    assert kinds == sorted(KINDS)
    assert later == ["it's", "tree"]
    assert extremes == (0.1, 0.9)
    assert filled.read(lambda tx: logged_keys.extremes(tx, 0, 10**6)) is None


def test_values_of_one_key_are_counted(filled: SqliteDatabase) -> None:
    def counts(entity: str, key: str) -> dict[str, int]:
        found = filled.read(lambda tx: run_facets.values(tx, 0, entity, key))  # type: ignore[arg-type]
        return {each.value: each.count for each in found}

    everything = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"])).runs
    assert counts("param", "kind") == Counter(dict(run.params)["kind"] for run in everything)
    assert counts("tag", "mlflow.secret").keys() == {"0", "1"}, "asked for by name it is counted"
    assert sum(counts("attribute", "status").values()) == len(everything)
    assert counts("dataset", "name").keys() == {"north", "south"}
    assert counts("param", "lr") == counts("param", "nothing") == counts("metric", "auc") == {}


def test_use_of_keys_by_some_runs(filled: SqliteDatabase) -> None:
    rows = _rows(filled, max_results=20).rows
    use = {each.key: each for each in filled.read(lambda tx: logged_keys.use(tx, "params", rows))}
    assert (use["seed"].runs, use["seed"].varies, use["lr"].varies) == (20, False, True)
    assert (use["seed"].distinct, use["lr"].distinct > 1, use["lr"].least < "1") == (1, True, True)
    assert filled.read(lambda tx: logged_keys.use(tx, "latest", [])) == []


def test_rows_hold_what_was_asked_for(filled: SqliteDatabase) -> None:
    page = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"], max_results=30))
    rows = [run.info.row for run in page.runs]
    table = filled.read(
        lambda tx: run_table.load(
            tx, rows, metrics=["auc", "nothing"], params=["kind"], tags=["team", "mlflow.runName"]
        )
    )
    assert [row.run_id for row in table] == [run.info.run_id for run in page.runs]
    for row, run in zip(table, page.runs, strict=True):
        assert row.params == {"kind": dict(run.params)["kind"]}
        assert row.tags == {"team": run.tag("team"), "mlflow.runName": run.info.name}
        auc = run.metric("auc")
        assert repr(row.metrics.get("auc")) == repr(auc)
        assert row.took_ms == (None if run.info.end_time is None else run.info.end_time - run.info.start_time)
    assert filled.read(lambda tx: run_table.load(tx, [10**9])) == []


def test_curves_are_of_runs_with_steps(filled: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(filled, max_results=10).rows
    found = filled.read(lambda tx: run_table.curves(tx, rows, "loss", most=64))
    assert set(found) == set(rows)
    assert {len(values) for values in found.values()} == {3}
    assert filled.read(lambda tx: run_table.curves(tx, rows, "auc", most=64)) == {}
    assert filled.read(lambda tx: run_table.curves(tx, rows, "nothing", most=64)) == {}
    monkeypatch.setattr(run_table, "_MOST_POINTS", 9)
    assert len(filled.read(lambda tx: run_table.curves(tx, rows, "loss", most=64))) == 3
