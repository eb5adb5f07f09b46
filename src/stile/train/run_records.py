"""Rows of runs and of what is logged to them besides metric histories."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import TypeVar

import msgspec

from stile.store.database import Row, Tx
from stile.train import run_keys
from stile.train.run_keys import blocks, marks
from stile.train.run_values import DatasetSummary, InputDataset, Latest, Run, RunInfo, RunModel

_KEY = itemgetter(1)
M = TypeVar("M")
P = TypeVar("P")

_INFO = "id, run_id, experiment, name, user_id, status, start_time, end_time, artifact_uri, lifecycle, created_by"


def add(
    tx: Tx, *, run_id: str, experiment: int, name: str, user_id: str, start_time: int, artifact_uri: str, by: str
) -> int:
    """A new running run; its number."""
    return int(
        tx.scalar(
            "INSERT INTO runs (run_id, experiment, name, user_id, status, start_time, artifact_uri, lifecycle, "
            "created_by) VALUES (?, ?, ?, ?, 'RUNNING', ?, ?, 'active', ?) RETURNING id",
            (run_id, experiment, name, user_id, start_time, artifact_uri, by),
        )
    )


def head(tx: Tx, run_id: str) -> tuple[int, int, str] | None:
    """(number, experiment, lifecycle) of a run: all that writing to it needs."""
    row = tx.one("SELECT id, experiment, lifecycle FROM runs WHERE run_id = ?", (run_id,))
    return None if row is None else (row[0], row[1], row[2])


def info(tx: Tx, run_id: str) -> RunInfo | None:
    """Who a run is."""
    row = tx.one(f"SELECT {_INFO} FROM runs WHERE run_id = ?", (run_id,))
    return None if row is None else _info(row)


def newest(tx: Tx, experiment: int, most: int) -> list[RunInfo]:
    """The runs of an experiment that began last and are not deleted."""
    rows = tx.all(
        f"SELECT {_INFO} FROM runs WHERE experiment = ? AND lifecycle = 'active' "
        "ORDER BY start_time DESC, run_id DESC LIMIT ?",
        (experiment, most),
    )
    return [_info(row) for row in rows]


def any_deleted(tx: Tx, experiment: int) -> bool:
    """Whether an experiment has deleted runs that are not purged yet."""
    return (
        tx.one("SELECT 1 FROM runs WHERE experiment = ? AND lifecycle = 'deleted' LIMIT 1", (experiment,)) is not None
    )


def set_end(tx: Tx, run: int, *, status: str, end_time: int | None) -> None:
    """Status and end of a run; an end that is not given stays as it was."""
    tx.many("UPDATE runs SET status = ?, end_time = COALESCE(?, end_time) WHERE id = ?", [(status, end_time, run)])


def set_name(tx: Tx, run: int, name: str) -> None:
    """Its name."""
    tx.many("UPDATE runs SET name = ? WHERE id = ?", [(name, run)])


def set_lifecycle(tx: Tx, run: int, lifecycle: str) -> None:
    """``active`` or ``deleted``, for itself alone."""
    deleted_at = tx.now_ms() if lifecycle == "deleted" else None
    tx.run("UPDATE runs SET lifecycle = ?, deleted_with = 0, deleted_at = ? WHERE id = ?", (lifecycle, deleted_at, run))


def delete_with_experiment(tx: Tx, experiment: int) -> None:
    """Put all active runs of an experiment aside, remembering that they went with it."""
    tx.run(
        "UPDATE runs SET lifecycle = 'deleted', deleted_with = 1, deleted_at = ? "
        "WHERE experiment = ? AND lifecycle = 'active'",
        (tx.now_ms(), experiment),
    )


def restore_with_experiment(tx: Tx, experiment: int) -> None:
    """Bring back the runs that went away with their experiment."""
    tx.run(
        "UPDATE runs SET lifecycle = 'active', deleted_with = 0, deleted_at = NULL "
        "WHERE experiment = ? AND deleted_with = 1",
        (experiment,),
    )


def param(tx: Tx, run: int, key: int) -> str | None:
    """The value of a parameter, if it was logged."""
    found = tx.scalar("SELECT value FROM params WHERE run = ? AND key = ?", (run, key))
    return None if found is None else str(found)


def add_param(tx: Tx, run: int, experiment: int, key: int, value: str) -> None:
    """A parameter not logged before."""
    tx.many("INSERT INTO params (run, key, experiment, value) VALUES (?, ?, ?, ?)", [(run, key, experiment, value)])


def set_tag(tx: Tx, run: int, experiment: int, key: int, value: str) -> None:
    """One tag, new or changed."""
    tx.many(
        "INSERT INTO run_tags (run, key, experiment, value) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value",
        [(run, key, experiment, value)],
    )


def tag(tx: Tx, run: int, name: str) -> str | None:
    """The value of a tag, if it is set."""
    found = tx.scalar(
        "SELECT t.value FROM run_keys k JOIN run_tags t ON t.key = k.id WHERE k.name = ? AND t.run = ?", (name, run)
    )
    return None if found is None else str(found)


def drop_tag(tx: Tx, run: int, key: int) -> bool:
    """Take a tag away; whether it was there."""
    return tx.run("DELETE FROM run_tags WHERE run = ? AND key = ?", (run, key)) > 0


def add_dataset(tx: Tx, experiment: int, dataset: InputDataset) -> int:
    """The number of an input dataset of an experiment, stored once per (name, digest)."""
    found = tx.scalar(
        "SELECT id FROM input_datasets WHERE experiment = ? AND name = ? AND digest = ?",
        (experiment, dataset.name, dataset.digest),
    )
    if found is None:
        found = tx.scalar(
            "INSERT INTO input_datasets (experiment, name, digest, source_type, source, schema_text, profile) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                experiment, dataset.name, dataset.digest, dataset.source_type,
                dataset.source, dataset.schema, dataset.profile,
            ),
        )  # fmt: skip
    return int(found)


def datasets_read(tx: Tx, experiments: Sequence[int], most: int) -> list[DatasetSummary]:
    """Datasets that active runs of these experiments have read, once per context; at most ``most``."""
    rows = tx.all(
        "SELECT DISTINCT d.experiment, d.name, d.digest, i.context FROM input_datasets d "
        "JOIN run_inputs i ON i.dataset = d.id JOIN runs r ON r.id = i.run "
        f"WHERE d.experiment IN ({marks(experiments)}) AND r.lifecycle = 'active' "
        "ORDER BY d.experiment, d.name, d.digest, i.context LIMIT ?",
        (*experiments, most),
    )
    return [
        DatasetSummary(experiment_id=str(experiment), name=name, digest=digest, context=context)
        for experiment, name, digest, context in rows
    ]


def add_input(tx: Tx, run: int, dataset: int, *, context: str, tags: Mapping[str, str]) -> None:
    """Say that a run has read a dataset; saying it again changes nothing."""
    tx.run(
        "INSERT INTO run_inputs (run, dataset, context, tags) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (run, dataset) DO NOTHING",
        (run, dataset, context, json.dumps(dict(tags), sort_keys=True)),
    )


def add_model(tx: Tx, run: int, model: RunModel) -> None:
    """Say that a run has read or made a logged model."""
    tx.run(
        "INSERT INTO run_models (run, direction, model_id, step) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (run, direction, model_id) DO UPDATE SET step = excluded.step",
        (run, model.direction, model.model_id, model.step),
    )


def latest(tx: Tx, run: int) -> list[Latest]:
    """The newest point of each metric of a run."""
    rows = tx.all("SELECT key, value, step, at FROM latest WHERE run = ?", (run,))
    names = run_keys.names(tx, (row[0] for row in rows))
    return [Latest(names[key], math.nan if value is None else value, step, at) for key, value, step, at in rows]


def written(tx: Tx, run: int) -> int:
    """How many parameters and tags a run has."""
    sql = "SELECT (SELECT COUNT(*) FROM params WHERE run = ?) + (SELECT COUNT(*) FROM run_tags WHERE run = ?)"
    return int(tx.scalar(sql, (run, run)))


def load(tx: Tx, runs: Sequence[int]) -> list[Run]:
    """The runs with these numbers, in this order, with all that was logged."""
    return [
        Run(info=_info(info), metrics=metrics, params=params, tags=tags, datasets=datasets, models=models)
        for found in logged(tx, runs)
        for info, (metrics, params, tags), datasets, models in gathered(found, _latest, _pairs)
    ]


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """What was logged to some runs, as rows: the quickest form for an answer with many runs.

    Attributes:
        infos: who they are, in the order asked for; the columns of ``RunInfo`` in their order.
        names: the texts of keys.
        metrics: (run, key, value, step, at).
        params, tags: (run, key, value).
        datasets, models: by run.
    """

    infos: list[Row]
    names: dict[int, str]
    metrics: list[Row]
    params: list[Row]
    tags: list[Row]
    datasets: dict[int, list[InputDataset]]
    models: dict[int, list[RunModel]]


def logged(tx: Tx, runs: Sequence[int]) -> Iterator[Logged]:
    """The rows of the runs with these numbers, some runs at a time, in this order.

    Whoever is done with one part before asking for the next works in memory that is still at hand in the
    processor: for a thousand runs that saves a third of the time.
    """
    datasets: defaultdict[int, list[InputDataset]] = defaultdict(list)
    models: defaultdict[int, list[RunModel]] = defaultdict(list)
    for part in blocks(list(runs)):
        for run, dataset in _inputs(tx, part):
            datasets[run].append(dataset)
        for run, direction, model_id, step in tx.all(
            f"SELECT run, direction, model_id, step FROM run_models WHERE run IN ({marks(part)})", part
        ):
            models[run].append(RunModel(direction=direction, model_id=model_id, step=step))
    names: dict[int, str] = {}
    for part in blocks(list(runs), tx.keys_at_once):
        where = f"IN ({marks(part)})"
        infos = {row[0]: row for row in tx.all(f"SELECT {_INFO} FROM runs WHERE id {where}", part)}
        latest = tx.all(f"SELECT run, key, value, step, at FROM latest WHERE run {where}", part)
        params = tx.all(f"SELECT run, key, value FROM params WHERE run {where}", part)
        tags = tx.all(f"SELECT run, key, value FROM run_tags WHERE run {where}", part)
        unknown = set(map(_KEY, chain(latest, params, tags))) - names.keys()
        if unknown:
            names |= run_keys.names(tx, unknown)
        yield Logged(
            infos=[infos[run] for run in part if run in infos],
            names=names, metrics=latest, params=params, tags=tags, datasets=datasets, models=models,
        )  # fmt: skip


def gathered(
    found: Logged,
    metrics: Callable[[str, Sequence[float | None], Sequence[int], Sequence[int]], Iterable[M]],
    pairs: Callable[[str, Sequence[str]], Iterable[P]],
) -> Iterator[tuple[Row, tuple[list[M], list[P], list[P]], list[InputDataset], list[RunModel]]]:
    """Run by run: who it is; metrics, parameters and tags in the forms that are asked for; datasets, models.

    Args:
        found: the rows.
        metrics: makes metrics of a key and its values, steps and times in several runs; a value of None is NaN.
        pairs: makes parameters or tags of a key and its values in several runs.
    """
    of_metrics = _by_run(found, found.metrics, metrics)
    of_params, of_tags = _by_run(found, found.params, pairs), _by_run(found, found.tags, pairs)
    for info in found.infos:
        run = info[0]
        data = (of_metrics[run], of_params[run], of_tags[run])
        yield info, data, found.datasets.get(run, []), found.models.get(run, [])


def _by_run(found: Logged, rows: Sequence[Row], make: Callable[..., Iterable[M]]) -> dict[int, list[M]]:
    """What ``make`` makes of rows (run, key, ...), by run, there by the texts of the keys.

    A whole key is made at once: that costs half of making one after the other.
    """
    into: dict[int, list[M]] = {info[0]: [] for info in found.infos}
    by_key: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_key[row[1]].append(row)
    for key in sorted(by_key, key=found.names.__getitem__):
        runs, _, *columns = zip(*by_key[key], strict=True)
        for run, made in zip(runs, make(found.names[key], *columns), strict=True):
            into[run].append(made)
    return into


def _latest(key: str, values: Sequence[float | None], steps: Sequence[int], times: Sequence[int]) -> Iterable[Latest]:
    return map(Latest, repeat(key), (math.nan if value is None else value for value in values), steps, times)


def _pairs(key: str, values: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip(repeat(key), values, strict=False)


def _inputs(tx: Tx, runs: Sequence[int]) -> Iterable[tuple[int, InputDataset]]:
    rows = tx.all(
        "SELECT i.run, d.name, d.digest, d.source_type, d.source, d.schema_text, d.profile, i.tags "
        f"FROM run_inputs i JOIN input_datasets d ON d.id = i.dataset WHERE i.run IN ({marks(runs)}) ORDER BY d.id",
        runs,
    )
    for run, name, digest, source_type, source, schema, profile, tags in rows:
        yield run, InputDataset(
            name=name, digest=digest, source_type=source_type, source=source,
            schema=schema, profile=profile, tags=json.loads(tags),
        )  # fmt: skip


def _info(row: Row) -> RunInfo:
    return RunInfo(
        row=row[0], run_id=row[1], experiment_id=str(row[2]), name=row[3], user_id=row[4], status=row[5],
        start_time=row[6], end_time=row[7], artifact_uri=row[8], lifecycle=row[9], created_by=row[10],
    )  # fmt: skip
