"""The links of the chain, in order."""

from __future__ import annotations

from stile.project import judging, prepare, training
from stile.project.chain import Step

STEPS = [
    Step("contract", "publish the contract, check and split the table", prepare.inputs, prepare.prepare),
    Step("train", "fit, log and register candidates", training.train_inputs, training.train),
    Step("evaluate", "score the test rows", training.evaluate_inputs, training.evaluate),
    Step("scenarios", "score the test rows after each scenario", training.scenario_inputs, training.scenarios),
    Step("evidence", "measure with intervals, by slice, against the champion", judging.evidence_inputs, judging.gather),
    Step("gate", "judge by the policy", None, judging.gate),
    Step("labels", "the standing of every version", None, judging.labels),
]
