"""The durable workflow that turns handed-in predictions into evidence, step by recorded step.

Every step's result is recorded, so a process killed in the middle resumes at the first step
without a result; tables are read again only when a step needs them. A refusal (a bad table, a
missing blob) is a result too: it ends the evaluation with one message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec

from stile import __version__
from stile.data import contracts, datasets
from stile.data.contract import Contract
from stile.data.dataset_records import DatasetVersion
from stile.kernel.canonical import canonical_json
from stile.kernel.errors import Invalid, Missing, StileError, TooLarge, Unavailable
from stile.kernel.workflow import Steps, Workflow
from stile.store.blobs import BlobStore
from stile.store.database import Database, Tx
from stile.train import evaluation_records, evaluations, evidence_records
from stile.train.evaluation_records import Evaluation
from stile.train.evidence import Computed, DatasetUse, Evidence, Graph, Lineage, Subject

if TYPE_CHECKING:
    from stile.data.table import Table
    from stile.train.evaluation import Inputs
    from stile.train.predictions import Predictions, Source

MAX_TABLE_BYTES = 1 << 30
_SEED = 0
_log = logging.getLogger("stile.train")

_STEPS = (
    ("check", 0.05, "reading and checking the predictions"),
    ("metrics", 0.15, "computing metrics and their intervals"),
    ("slices", 0.4, "comparing subgroups"),
    ("scenarios", 0.55, "evaluating scenarios"),
    ("paired", 0.7, "comparing with the champion"),
    ("profile", 0.8, "profiling the reference data"),
    ("graphs", 0.9, "drawing graphs"),
    ("save", 0.95, "putting the evidence together"),
)


def evaluation_workflow(db: Database, blobs: BlobStore) -> Workflow:
    """The workflow to register under ``evaluations.WORKFLOW``; its argument is ``{"evaluation": id}``.

    It returns ``{"evidence": digest}`` or ``{"error": message}``.
    """

    def run(steps: Steps, arguments: dict[str, Any]) -> dict[str, Any]:
        return _Run(db, blobs, str(arguments["evaluation"])).go(steps)

    return run


class _Run:
    """One evaluation under way. What it reads is kept for its later steps, and read again after a restart."""

    def __init__(self, db: Database, blobs: BlobStore, id: str) -> None:
        self._db = db
        self._blobs = blobs
        self._id = id
        self._parts: dict[str, Any] = {}

    def go(self, steps: Steps) -> dict[str, Any]:
        """Every step in order, until one refuses."""
        for name, progress, words in _STEPS:
            result = steps.step(name, partial(self._step, name, progress, words))
            if "error" in result:
                return {"error": result["error"]}
            self._parts |= result
        return {"evidence": self._parts["evidence"]}

    def _step(self, name: str, progress: float, words: str) -> dict[str, Any]:
        self._db.write(lambda tx: evaluations.note_progress(tx, id=self._id, progress=progress, step=words))
        try:
            return self._work(name)()
        except Unavailable:
            raise  # not the predictions' fault: the engine decides
        except StileError as error:
            return self._failed(error.message)
        except Exception as error:
            _log.exception("The evaluation %s failed in its step %s.", self._id, name)
            return self._failed(
                f"The evaluation stopped in the step '{name}' ({words}) because of an internal error "
                f"({type(error).__name__}). Nothing was stored; the server's log has the details."
            )

    def _work(self, name: str) -> Callable[[], dict[str, Any]]:
        from stile.train import evaluation as pure  # noqa: PLC0415  (numpy loads with the first evaluation)

        return {
            "check": lambda: {"threshold": self._inputs.predictions.threshold},
            "metrics": lambda: pure.metrics_part(self._inputs),
            "slices": lambda: pure.slices_part(self._inputs),
            "scenarios": lambda: pure.scenarios_part(self._inputs),
            "paired": lambda: pure.paired_part(self._inputs),
            "profile": lambda: pure.profile_part(self._inputs) | pure.facts_part(self._inputs),
            "graphs": self._graphs,
            "save": self._save,
        }[name]

    def _failed(self, message: str) -> dict[str, Any]:
        self._db.write(lambda tx: evaluations.fail(tx, id=self._id, error=message))
        return {"error": message}

    def _graphs(self) -> dict[str, Any]:
        from stile.train.evaluation import drawings  # noqa: PLC0415

        drawn = []
        for drawing in drawings(self._inputs, self._parts):
            spec = self._blobs.put(canonical_json(drawing.spec))
            drawn.append(Graph(name=drawing.name, title=drawing.title, finding=drawing.finding, spec=spec))
        return {"graphs": msgspec.to_builtins(drawn)}

    def _save(self) -> dict[str, Any]:
        evidence = self._evidence()
        return {"evidence": self._db.write(lambda tx: evaluations.record(tx, id=self._id, evidence=evidence))}

    def _evidence(self) -> Evidence:
        from stile.train.evaluation import assemble  # noqa: PLC0415

        evaluation, order, model = self._evaluation, self._evaluation.request.order, self._evaluation.request.model
        uses = [_use(self._test, "test")]
        if self._train is not None:
            uses.append(_use(self._train, "train"))
        fields = {name: value for name, value in self._parts.items() if name not in ("graphs", "threshold")}
        return assemble(
            fields,
            subject=Subject(
                kind="model_version",
                use_case=evaluation.use_case,
                version=str(order.version),
                digest=model.digest,
                run_id=model.run_id,
            ),
            computed=Computed(by=evaluation.by, at=evaluation.at, code=f"stile {__version__}", seed=_SEED),
            datasets=uses,
            lineage=Lineage(
                run_id=model.run_id,
                commit=model.commit,
                environment=model.environment,
                datasets=[use.digest for use in uses],
            ),
            positive=evaluation.request.positive,
            threshold=self._parts["threshold"],
            predictions=order.predictions,
            drawn=msgspec.convert(self._parts["graphs"], list[Graph]),
        )

    @cached_property
    def _evaluation(self) -> Evaluation:
        return self._db.read(lambda tx: evaluation_records.get(tx, self._id))

    @cached_property
    def _test(self) -> DatasetVersion:
        order = self._evaluation.request.order
        return self._db.read(lambda tx: datasets.get(tx, self._evaluation.use_case, order.test))

    @cached_property
    def _train(self) -> DatasetVersion | None:
        digest = self._evaluation.request.order.train
        if digest is None:
            return None
        return self._db.read(lambda tx: datasets.get(tx, self._evaluation.use_case, digest))

    @cached_property
    def _contract(self) -> Contract | None:
        def find(tx: Tx) -> Contract | None:
            if not self._test.contract_version:
                return None
            return contracts.promises(contracts.get(tx, self._test.use_case, self._test.contract_version))

        return self._db.read(find)

    @cached_property
    def _inputs(self) -> Inputs:
        from stile.train.evaluation import Inputs  # noqa: PLC0415
        from stile.train.predictions import Source  # noqa: PLC0415

        order, model = self._evaluation.request.order, self._evaluation.request.model
        contract = self._contract
        table = datasets.load(self._blobs, self._test)
        target, key = ("", "") if contract is None else (contract.target, contract.key)
        source = Source(table=table, key=key, target=target)
        if contract is None:
            features = [name for name in table.names if name != "row"]
        else:
            features = [name for name in contract.features if name in table]
        return Inputs(
            source=source,
            predictions=self._read(source, order.predictions, order.threshold),
            features=features,
            positive=self._evaluation.request.positive,
            slices=order.slices,
            scenarios={
                name: (
                    scenario.says,
                    self._read(source, scenario.predictions, order.threshold, what=f"The table of the scenario {name}"),
                )
                for name, scenario in order.scenarios.items()
            },
            champion=self._champion(source),
            train=None if self._train is None else datasets.load(self._blobs, self._train),
            latency_ms=order.latency_ms,
            unknown_at_decision_time=order.unknown_at_decision_time,
            size_bytes=model.size_bytes,
            seed=_SEED,
        )

    def _champion(self, source: Source) -> tuple[str, str, Predictions] | None:
        """The champion's own predictions on this test dataset, from its newest evaluation on it."""
        model = self._evaluation.request.model
        if not model.champion or model.champion == model.digest:
            return None
        found = self._db.read(
            lambda tx: evidence_records.on_dataset(tx, self._evaluation.use_case, model.champion, self._test.digest)
        )
        if found is None or not found.predictions or not self._blobs.has(found.predictions):
            return None
        what = "The champion's predictions table"
        predictions = self._read(source, found.predictions, found.threshold, what=what)
        return model.champion, model.champion_version, predictions

    def _read(self, source: Source, digest: str, threshold: float | None, **how: Any) -> Predictions:
        from stile.train.predictions import read_predictions  # noqa: PLC0415

        table = self._load(digest, how.get("what", "The predictions table"))
        return read_predictions(table, source, positive=self._evaluation.request.positive, threshold=threshold, **how)

    def _load(self, digest: str, what: str) -> Table:
        from stile.data.table import parse_table  # noqa: PLC0415

        try:
            if self._blobs.size(digest) > MAX_TABLE_BYTES:
                raise TooLarge(f"{what} is larger than {MAX_TABLE_BYTES} bytes.")
            return parse_table(self._blobs.get(digest))
        except Missing:
            raise Missing(f"{what} {digest} is not here. Upload it first (PUT /api/v1/blobs).") from None
        except Invalid as error:
            raise Invalid(f"{what} cannot be read: {error.message}") from error


def _use(dataset: DatasetVersion, role: Any) -> DatasetUse:
    return DatasetUse(digest=dataset.digest, role=role, rows=dataset.rows, name=dataset.name)
