"""``gc``: purge for good what was deleted, and forget contents that nothing refers to any more.

First it is said what would go (``survey``), then it is done (``carry_out``) in small
transactions, each of which writes into the ledger what it took away.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from stile.govern import version_records
from stile.kernel.clock import Clock
from stile.store import ledger
from stile.store.blobs import BlobStore
from stile.store.blobs_arriving import ArrivingBlobs, Settling
from stile.store.database import Database, Tx
from stile.train import purge, purge_records, uploads
from stile.train.artifact_paths import ours
from stile.train.purge import Purge
from stile.train.purge_records import DeletedModel, DeletedRun
from stile.work.references import mentions, wanted

_AT_ONCE = 20
_EVER = 1 << 62
YOUNGEST_MS = 3_600_000
"""Contents stored less than this long ago are never collected: who uploaded them may be about to refer to them."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to collect.

    Attributes:
        deleted_for_ms: only what was deleted at least this long ago.
        runs: only these runs (whenever they were deleted) and no contents; empty for everything.
        contents_for_ms: contents must have been stored at least this long ago.
    """

    deleted_for_ms: int = 0
    runs: list[str] = []
    contents_for_ms: int = YOUNGEST_MS


class Collection(msgspec.Struct, kw_only=True):
    """What is (or was) collected: rows, abandoned uploads, then contents that nothing refers to, and their bytes."""

    purge: Purge
    uploads: int = 0
    contents: int = 0
    bytes: int = 0


def survey(db: Database, blobs: BlobStore, clock: Clock, wish: Wish) -> Collection:
    """What would go. The contents counted are those that nothing refers to now, before anything is purged."""
    purged, digests = _purge_of(db, wish, clock.now_ms())
    if wish.runs:
        return Collection(purge=purged)
    loose = _loose(blobs, wanted(digests, blobs), _contents_before(clock, wish))
    unfinished = sum(not finished for _, finished in db.read(uploads.abandoned))
    return Collection(purge=purged, uploads=unfinished, contents=len(loose), bytes=sum(loose.values()))


def carry_out(db: Database, blobs: ArrivingBlobs, clock: Clock, wish: Wish, *, by: str) -> Collection:
    """Do it; returns what went."""
    now = clock.now_ms()
    before = _deleted_before(wish, now)
    purged, _ = _purge_of(db, wish, now)
    done = Purge(kept=purged.kept)
    for start in range(0, len(purged.runs), _AT_ONCE):
        part = purged.runs[start : start + _AT_ONCE]
        gone = set(db.write(partial(_drop_runs, run_ids=[run.run_id for run in part], before=before, by=by)))
        done.runs += [run for run in part if run.run_id in gone]
    if purged.models:
        ids = [model.model_id for model in purged.models]
        gone = set(db.write(lambda tx: _drop_models(tx, ids, before, by)))
        done.models = [model for model in purged.models if model.model_id in gone]
    if purged.experiments:
        done.experiments = db.write(lambda tx: _drop_experiments(tx, purged.experiments, before, by))
    collected = Collection(purge=done)
    if wish.runs:
        return collected
    for id, finished in db.read(uploads.abandoned):
        blobs.drop_apart(id)  # its addresses have ended: no part comes any more
        db.write(partial(uploads.forget, id=id))
        collected.uploads += not finished
    Settling(db, blobs).settle()  # what waits is in no listing
    collected.contents, collected.bytes = _forget_contents(db, blobs, _contents_before(clock, wish))
    if collected.contents:
        body = {"contents": collected.contents, "bytes": collected.bytes, "by": by}
        db.write(lambda tx: ledger.append(tx, kind="contents.collected", use_case="", subject="", body=body))
    return collected


def _forget_contents(db: Database, blobs: ArrivingBlobs, before: int) -> tuple[int, int]:
    """Forget contents that nothing refers to; returns how many, and their bytes."""
    digests = db.read(lambda tx: mentions(tx).digests)
    looked_at: dict[str, list[str]] = {}
    loose = _loose(blobs, wanted(digests, blobs, looked_at), before)
    if not loose:
        return 0, 0
    # a document that is referred to again in the last moment needs what it names, and cannot be read by then
    wanted(list(loose), blobs, looked_at)

    def still_wanted(young: Iterable[str]) -> set[str]:
        return wanted(db.read(lambda tx: mentions(tx).digests).union(young), blobs, looked_at)

    forgotten = blobs.collect(list(loose), before_ms=before, wanted=still_wanted)
    return len(forgotten), sum(loose[digest] for digest in forgotten)


def _purge_of(db: Database, wish: Wish, now: int) -> tuple[Purge, set[str]]:
    def look(tx: Tx) -> tuple[Purge, set[str]]:
        found = purge.deleted(tx, before=_deleted_before(wish, now), run_ids=wish.runs)
        named = mentions(tx, [run.run_id for run in found.runs] + [model.model_id for model in found.models])
        held = dict(named.held)
        candidates: list[DeletedRun | DeletedModel] = [*found.runs, *found.models]
        for each in candidates:
            why = _held(tx, each)
            if why:
                held[_id(each)] = why
        return purge.weigh(tx, found, held), named.digests

    return db.read(look)


def _held(tx: Tx, each: DeletedRun | DeletedModel) -> str:
    """What versions or other experiments need a run or model for, or nothing."""
    root = ours(each.artifact_uri) if each.artifact_uri else None
    found = [] if root is None else version_records.sharing_files(tx, root)
    if isinstance(each, DeletedModel):
        found += version_records.of_logged_model(tx, each.model_id)
    else:
        found += version_records.of_run(tx, each.run_id)
    if found:
        return f"version {found[0][1]} of {found[0][0]} was registered from it"
    inside = purge_records.experiment_within(tx, each.artifact_uri) if root is not None else None
    return f"the experiment {inside!r} keeps its files in its folder" if inside is not None else ""


def _deleted_before(wish: Wish, now: int) -> int:
    """Named runs go whenever they were deleted."""
    return _EVER if wish.runs else now - wish.deleted_for_ms + 1


# Each asks again: since it was found somebody may have restored, deleted anew or registered what would go.


def _drop_runs(tx: Tx, run_ids: list[str], before: int, by: str) -> list[str]:
    found = purge_records.runs(tx, run_ids)
    runs = [run for run in found if run.lifecycle == "deleted" and run.deleted_at < before and not _held(tx, run)]
    purge.drop(tx, runs=runs)
    _tell(tx, "runs", [run.run_id for run in runs], by)
    return [run.run_id for run in runs]


def _drop_models(tx: Tx, model_ids: list[str], before: int, by: str) -> list[str]:
    found = purge.deleted(tx, before=before).models
    models = [model for model in found if model.model_id in set(model_ids) and not _held(tx, model)]
    purge.drop(tx, models=models)
    _tell(tx, "models", [model.model_id for model in models], by)
    return [model.model_id for model in models]


def _drop_experiments(tx: Tx, experiment_ids: list[str], before: int, by: str) -> list[str]:
    found = {str(number) for number, _ in purge_records.deleted_experiments(tx, before)}
    gone = purge.drop_empty(tx, [number for number in experiment_ids if number in found])
    _tell(tx, "experiments", gone, by)
    return gone


def _tell(tx: Tx, what: str, ids: list[str], by: str) -> None:
    if ids:
        ledger.append(tx, kind=f"{what}.purged", use_case="", subject=ids[0], body={what: ids, "by": by})


def _loose(blobs: BlobStore, digests: set[str], before: int) -> dict[str, int]:
    return {found.digest: found.size for found in blobs.listing() if found.at < before and found.digest not in digests}


def _contents_before(clock: Clock, wish: Wish) -> int:
    return clock.now_ms() - max(wish.contents_for_ms, 0)


def _id(each: DeletedRun | DeletedModel) -> str:
    return each.run_id if isinstance(each, DeletedRun) else each.model_id
