"""The whole way from a registered dataset and a predictions table to stored evidence."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from stile.data import contracts, datasets
from stile.data.contract_infer import infer_contract
from stile.data.odcs import write_contract
from stile.data.table import Table, parse_csv, table_of, to_csv
from stile.kernel.errors import Invalid, Missing
from stile.people import use_cases
from stile.people.use_cases import Charter
from stile.store import outbox
from stile.store.blobs import LocalBlobs
from stile.store.sqlite import SqliteDatabase
from stile.train import evaluation_records, evaluations, evidence_records
from stile.train.evaluation_records import Evaluation, EvaluationOrder, ModelFacts, ScenarioOrder
from stile.train.evaluation_workflow import evaluation_workflow
from stile.train.evidence import Evidence
from stile.work.inline import InlineBackground
from stile.work.start import RESCUE, wire

CASE = "early-detection"


class Recorded:
    """Steps as an engine records them; can be told to die before a step is recorded, as kill -9 would."""

    def __init__(self) -> None:
        self.results: dict[str, bytes] = {}
        self.ran: list[str] = []
        self.die_in = ""

    def step(self, name: str, work: Any) -> Any:
        if name not in self.results:
            self.ran.append(name)
            result = msgspec.json.encode(work())
            if name == self.die_in:
                raise KeyboardInterrupt
            self.results[name] = result
        return msgspec.json.decode(self.results[name])


class World:
    def __init__(self, db: SqliteDatabase, blobs: LocalBlobs) -> None:
        self.db, self.blobs = db, blobs
        rng = np.random.default_rng(4)
        self.table = self.make(rng, 160)
        self.train = self.make(rng, 300)
        self.y = self.table.numbers("target") == 1
        db.write(lambda tx: use_cases.create(tx, name=CASE, charter=Charter(title="t", positive="1"), by="ana"))
        yaml = write_contract(infer_contract(self.table, name=CASE, target="target"))
        db.write(lambda tx: contracts.publish(tx, use_case=CASE, yaml=yaml, by="ana"))
        self.test_digest = self.register("test", self.table)
        self.train_digest = self.register("train", self.train)

    @staticmethod
    def make(rng: np.random.Generator, n: int) -> Table:
        y = rng.random(n) < 0.4
        return table_of(
            {
                "size": np.clip(rng.normal(10 + 3 * y, 2), 5, 18).round(3),
                "texture": rng.random(n).round(4),
                "site": ["north" if v < 0.5 else "south" for v in rng.random(n)],
                "target": y.astype(float),
            }
        )

    def register(self, role: Any, table: Table) -> str:
        content = to_csv(table)
        blob = self.blobs.put(content)
        contract = self.db.read(lambda tx: contracts.latest(tx, CASE))
        checked = datasets.check(content, table_blob=blob, contract=contract, role=role)
        made = self.db.write(
            lambda tx: datasets.register(tx, use_case=CASE, name=role, role=role, checked=checked, by="ana")
        )
        return made.digest

    def scores(self, noise: float = 0.25, seed: int = 1) -> Any:
        rng = np.random.default_rng(seed)
        return np.clip(0.3 + 0.4 * self.y + rng.normal(0, noise, self.y.size), 0.001, 0.999).round(4)

    def predictions(self, scores: Any = None, **columns: Any) -> str:
        scores = self.scores() if scores is None else scores
        whole = {"row": self.table.row_digests(), "y_true": self.y.astype(int), "score": scores} | columns
        return self.blobs.put(to_csv(table_of({k: v for k, v in whole.items() if v is not None})))

    def order(self, **changes: Any) -> EvaluationOrder:
        values: dict[str, Any] = {
            "version": 1,
            "predictions": changes.pop("predictions", None) or self.predictions(),
            "test": self.test_digest,
            "train": self.train_digest,
            "slices": ["site"],
            "latency_ms": [float(i) for i in range(1, 101)],
            "unknown_at_decision_time": [],
        }
        return EvaluationOrder(**(values | changes))

    def request(self, order: EvaluationOrder, **model: Any) -> Evaluation:
        facts = ModelFacts(**({"digest": "sha256:" + "a" * 64, "size_bytes": 1234, "run_id": "r1"} | model))
        return self.db.write(lambda tx: evaluations.request(tx, use_case=CASE, order=order, model=facts, by="ana"))

    def run(self, order: EvaluationOrder, **model: Any) -> tuple[Evaluation, Evidence | None]:
        made = self.request(order, **model)
        background = InlineBackground()
        background.register(evaluations.WORKFLOW, evaluation_workflow(self.db, self.blobs))
        background.start(evaluations.WORKFLOW, {"evaluation": made.id}, key=made.id)
        return self.ended(made.id)

    def ended(self, id: str) -> tuple[Evaluation, Evidence | None]:
        done = self.db.read(lambda tx: evaluations.get(tx, id))
        found = self.db.read(lambda tx: evidence_records.find(tx, done.evidence)) if done.evidence else None
        return done, found

    def events(self) -> list[str]:
        return [posted.name for posted in self.db.read(lambda tx: outbox.after(tx, 0, 1000))]


@pytest.fixture
def world(db: SqliteDatabase, blobs: LocalBlobs) -> World:
    return World(db, blobs)


def test_evidence_holds_every_part_when_predictions_are_good(world: World) -> None:
    scenario = world.predictions(np.clip(world.scores() - 0.2, 0, 1))
    order = world.order(scenarios={"dim": ScenarioOrder(says="darker images", predictions=scenario)})
    done, evidence = world.run(order)
    assert done.state == "done"
    assert done.progress == 1.0
    assert evidence is not None
    assert evidence.digest == done.evidence
    assert evidence.metrics["auc"].value == pytest.approx(roc_auc_score(world.y, world.scores()))
    assert evidence.metrics["recall"].n == 160
    assert evidence.metrics["recall"].positives == int(world.y.sum())
    assert sum(one.n for one in evidence.slices["site"]) == 160
    assert set(evidence.fairness["site"]) == {"demographic_parity_ratio", "equal_opportunity_ratio"}
    recall = evidence.metrics["recall"].value
    assert evidence.scenarios["dim"].metrics["recall"].value < recall  # type: ignore[operator]
    assert 0 < evidence.scenarios["dim"].changed_ratio < 1  # type: ignore[operator]
    assert evidence.facts["row_overlap"] == {"rows": 0, "ratio": 0.0, "of": 160}
    assert evidence.facts["latency"]["p99_ms"] == 99.0
    assert evidence.facts["size"] == {"bytes": 1234}
    assert evidence.facts["unknown_at_decision_time"] == {"columns": []}
    assert evidence.profile is not None
    assert [c.name for c in evidence.profile.columns] == ["size", "texture", "site", "score"]
    assert {g.name for g in evidence.graphs} >= {"roc", "precision-recall", "calibration", "scores", "confusion"}
    spec = msgspec.json.decode(world.blobs.get(evidence.graphs[0].spec))
    assert spec["description"] == evidence.graphs[0].finding
    assert evidence.subject.digest == "sha256:" + "a" * 64
    assert evidence.computed.by == "ana"
    assert {use.role for use in evidence.datasets} == {"train", "test"}
    assert world.events()[-2:] == ["EvaluationRequested", "EvidenceRecorded"]


def test_overlap_is_counted_when_the_candidate_trained_on_test_rows(world: World) -> None:
    half = world.table.take(np.arange(40))
    leaky = table_of({n: [*world.train.columns[n].tolist(), *half.columns[n].tolist()] for n in world.train.names})
    _, evidence = world.run(world.order(train=world.register("train", leaky)))
    assert evidence is not None
    assert evidence.facts["row_overlap"] == {"rows": 40, "ratio": 0.25, "of": 160}


def test_facts_are_absent_when_nobody_measured_them(world: World) -> None:
    order = world.order(train=None, latency_ms=None, unknown_at_decision_time=None)
    _, evidence = world.run(order)
    assert evidence is not None
    assert set(evidence.facts) == {"size"}


def test_champion_is_compared_on_the_same_rows_when_it_was_evaluated_there(world: World) -> None:
    champion = "sha256:" + "c" * 64
    world.run(world.order(predictions=world.predictions(world.scores(noise=0.6))), digest=champion)
    _, evidence = world.run(world.order(), champion=champion, champion_version="1")
    assert evidence is not None
    assert evidence.paired is not None
    assert evidence.paired.champion == champion
    auc = evidence.paired.metrics["auc"]
    assert auc.difference == pytest.approx(auc.subject_value - auc.champion_value)  # type: ignore[operator]
    assert auc.difference > 0  # type: ignore[operator]
    assert evidence.paired.metrics["brier"].difference > 0, "a lower Brier score is better"  # type: ignore[operator]


def test_pairing_is_absent_when_the_champion_was_never_evaluated_here(world: World) -> None:
    _, evidence = world.run(world.order(), champion="sha256:" + "d" * 64, champion_version="1")
    assert evidence is not None
    assert evidence.paired is None


BAD = {
    "missing row column": ({"row": None}, "no column 'row'"),
    "no score and no label": ({"score": None}, "neither 'score' nor 'y_pred'"),
    "score beyond one": ({"score": [1.2] + [0.5] * 159}, "score 1.2 is outside 0 to 1"),
    "score missing": ({"score": [None] + [0.5] * 159}, "score is missing"),
    "score as text": ({"score": ["high"] + ["0.5"] * 159}, "must hold numbers"),
    "unknown row": ({"row": ["sha256:" + "0" * 64] * 160}, "is not a row of the dataset"),
    "wrong truth": ({"y_true": [0] * 160}, "y_true is '0', but the dataset's column 'target' says '1'"),
}


@pytest.mark.parametrize("name", BAD)
def test_nothing_is_stored_when_the_predictions_are_bad(world: World, name: str) -> None:
    columns, message = BAD[name]
    done, evidence = world.run(world.order(predictions=world.predictions(**columns)))
    assert done.state == "failed"
    assert message in done.error
    assert evidence is None
    assert world.db.read(lambda tx: evidence_records.for_use_case(tx, CASE)) == []
    assert world.events()[-1] == "EvaluationFailed"


def test_failure_names_the_count_when_rows_are_left_out(world: World) -> None:
    part = parse_csv(world.blobs.get(world.predictions())).take(np.arange(150))
    done, _ = world.run(world.order(predictions=world.blobs.put(to_csv(part))))
    assert done.state == "failed"
    assert "leaves out 10 of the 160 rows" in done.error


def test_failure_is_clear_when_a_row_is_predicted_twice(world: World) -> None:
    table = parse_csv(world.blobs.get(world.predictions()))
    done, _ = world.run(world.order(predictions=world.blobs.put(to_csv(table.take(np.array([*range(160), 0]))))))
    assert "was predicted before" in done.error


def test_failure_is_clear_when_the_blob_is_no_table(world: World) -> None:
    done, _ = world.run(world.order(predictions=world.blobs.put(b"\xff\xfe\x00")))
    assert done.state == "failed"
    assert "not UTF-8" in done.error


def test_failure_is_clear_when_a_slice_column_does_not_exist(world: World) -> None:
    done, _ = world.run(world.order(slices=["hospital"]))
    assert "no column 'hospital'" in done.error


def test_request_is_refused_when_the_dataset_is_unknown(world: World) -> None:
    with pytest.raises(Missing, match="no dataset version"):
        world.request(world.order(test="sha256:" + "9" * 64))


def test_request_is_refused_when_predictions_are_no_digest(world: World) -> None:
    with pytest.raises(Invalid, match="not a digest"):
        world.request(world.order(predictions="../../etc/passwd"))


@pytest.mark.parametrize("step", ["metrics", "paired", "graphs", "save"])
def test_evaluation_resumes_with_the_same_evidence_when_killed_in_a_step(world: World, step: str) -> None:
    order = world.order()
    made = world.request(order)
    steps = Recorded()
    steps.die_in = step
    with pytest.raises(KeyboardInterrupt):
        evaluation_workflow(world.db, world.blobs)(steps, {"evaluation": made.id})
    before = list(steps.ran)
    steps.die_in = ""
    steps.ran.clear()
    result = evaluation_workflow(world.db, world.blobs)(steps, {"evaluation": made.id})
    assert steps.ran[0] == step == before[-1], "recorded steps are not run again"
    done, evidence = world.ended(made.id)
    assert done.state == "done"
    assert evidence is not None
    assert result == {"evidence": evidence.digest}
    assert world.events().count("EvidenceRecorded") == 1
    # an uninterrupted twin of the request computes the same numbers
    _, twin = world.run(order)
    assert twin is not None
    assert twin.metrics == evidence.metrics


def test_evaluation_is_begun_when_no_workflow_knows_of_it(world: World) -> None:
    waiting = world.request(world.order())
    background = InlineBackground()
    wire(db=world.db, blobs=world.blobs, background=background, announce=lambda _: None)
    background.tick(RESCUE)
    done, evidence = world.ended(waiting.id)
    assert done.state == "done"
    assert evidence is not None
    assert world.db.read(evaluation_records.unfinished) == []


def test_evidence_is_refused_when_its_bytes_were_altered(world: World) -> None:
    done, _ = world.run(world.order())
    import zlib

    from stile.kernel.errors import Corrupt

    def flip(tx: Any) -> None:
        body = zlib.decompress(tx.scalar("SELECT body FROM evidence WHERE digest = ?", (done.evidence,)))
        changed = zlib.compress(body.replace(b'"positive":"1"', b'"positive":"0"'))
        tx.run("UPDATE evidence SET body = ? WHERE digest = ?", (changed, done.evidence))

    world.db.write(flip)
    with pytest.raises(Corrupt, match="altered"):
        world.db.read(lambda tx: evidence_records.load(tx, done.evidence))
