"""The example policy and evidence that the govern tests share."""

from __future__ import annotations

import msgspec

from stile.kernel.canonical import digest_bytes
from stile.train.evidence import (
    Computed,
    DatasetUse,
    Drift,
    Evidence,
    Metric,
    Paired,
    PairedComparison,
    ScenarioResult,
    SliceValue,
    Subject,
)

NOW = 1_790_000_000_000

POLICY = """\
policy: early-detection
version: 3
says: Promote the model that misses the fewest malignant cases at every site, if experts and product agree.
scope: site                     # optional: the verdict is given per value of this segment as well as overall
require:                        # every rule must pass; anything else blocks
  - id: recall-floor
    says: Misses at most 7 % of malignant cases, even at the low end of the interval
    owner: domain_expert
    rule: ci_low(metric("recall")) >= 0.93
  - id: every-site
    says: No site below 0.90; a site with fewer than 20 malignant cases is unknown, not passed
    rule: slices("site").all(s, s.recall >= 0.90)
    min_n: {positives: 20}
  - id: not-worse-than-champion
    says: Not worse than the model in production on the same patients
    rule: no_champion() || better("auc").low > -0.005
  - id: honest-test
    rule: evidence("row_overlap").rows == 0 && evidence("unknown_at_decision_time").columns.size() == 0
  - id: sensor-outage
    rule: scenario("texture-sensor-missing").recall >= 0.85
  - id: fast-enough
    rule: evidence("latency").p99_ms <= 20
warn:
  - {id: calibration, rule: metric("ece") <= 0.05}
choose: ['ci_low(metric("recall"))', 'metric("auc")']   # lexicographic maximum among candidates that pass
approvals:
  - {role: product_manager}
  - {role: domain_expert, quorum: 1}
  - {role: compliance, when: use_case.tier == "high"}
labels:                         # for every version that is not chosen, first match wins; margins are added by the machine
  - {label: challenger, when: failed.size() == 0}
  - {label: shadow, when: 'failed == ["not-worse-than-champion"]'}
live:                           # re-evaluated on each closed window and when approvals or waivers expire
  - {id: live-recall, rule: metric("recall") >= 0.90, persist: 2 of 3, else: open_decision}
  - {id: inputs-moved, rule: worst("psi") < 0.25, else: alert}
on_missing: unknown             # the only allowed value unless a rule says `missing: fail`
"""  # noqa: E501


def digest(word: str) -> str:
    """A digest named by a word."""
    return digest_bytes(word.encode())


def metric(
    value: float | None, low: float | None = None, high: float | None = None, n: int = 171, positives: int | None = 64
) -> Metric:
    """A metric with the numbers of the test set."""
    return Metric(value=value, low=low, high=high, n=n, positives=positives, method="wilson")


def evidence(
    *,
    version: int = 1,
    recall_low: float | None = 0.941,
    recall: float = 0.964,
    auc: float = 0.99,
    site_b: float = 0.95,
    site_b_positives: int = 30,
    overlap: int = 0,
    paired_low: float | None = None,
    champion: str = "",
    p99: float | None = 3.2,
) -> Evidence:
    """Evidence of a good candidate, with what a test wants to change."""
    facts: dict[str, dict[str, object]] = {
        "row_overlap": {"rows": overlap, "ratio": overlap / 171},
        "unknown_at_decision_time": {"columns": []},
        "size": {"bytes": 18_000},
    }
    if p99 is not None:
        facts["latency"] = {"p50_ms": 0.8, "p99_ms": p99, "n": 200}
    paired = None
    if champion:
        paired = PairedComparison(
            champion=champion,
            metrics={"auc": Paired(difference=0.001, low=paired_low, high=0.02, p_better=0.6, p_worse=0.4, n=171)},
        )
    return Evidence(
        subject=Subject(
            kind="model_version", use_case="early-detection", version=str(version), digest=digest(f"model-{version}")
        ),
        computed=Computed(by="ada", at=NOW - 3_600_000, code="1"),
        datasets=[DatasetUse(digest=digest("test"), role="test", rows=171, name="test")],
        positive="malignant",
        metrics={
            "recall": metric(recall, recall_low, 0.99),
            "auc": metric(auc, auc - 0.01, 1.0),
            "ece": metric(0.03),
        },
        slices={
            "site": [
                SliceValue(value="A", n=111, positives=34, metrics={"recall": metric(0.97, 0.9, 0.99, 111, 34)}),
                SliceValue(
                    value="B",
                    n=60,
                    positives=site_b_positives,
                    metrics={"recall": metric(site_b, 0.8, 0.99, 60, site_b_positives)},
                ),
            ]
        },
        scenarios={
            "texture-sensor-missing": ScenarioResult(n=171, positives=64, metrics={"recall": metric(0.9, 0.85, 0.95)})
        },
        facts=facts,
        paired=paired,
    )


def window(recall: float | None, psi: float | None = 0.02) -> Evidence:
    """Evidence of a window of live traffic."""
    return msgspec.structs.replace(
        evidence(),
        subject=Subject(kind="window", use_case="early-detection", window="win_1"),
        metrics={"recall": metric(recall, None, None, 80, 30)},
        drift=[Drift(column="texture_mean", n=80, psi=psi), Drift(column="area", n=80, psi=0.01)],
    )
