"""Evidence: what was measured about a candidate or a live window, as one immutable document.

The same shape serves training time and live traffic, so one rule text can judge both. A
document is content-addressed: its digest is the digest of its canonical JSON. Numbers that
could not be computed are None (never NaN), and a metric never travels without its ``n``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stile.data.profile import Profile
from stile.kernel.canonical import digest_of


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number with its uncertainty.

    Attributes:
        value: the estimate; None when it is not defined on these rows (e.g. recall without positives).
        low, high: ends of the interval at ``level``; None when no interval applies.
        level: confidence level in 0..1.
        method: how the interval was computed, e.g. ``wilson``, ``delong``, ``bootstrap``.
        n: rows it was computed from.
        positives: positive outcomes among them, where that decides how much is known.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""
    positives: int | None = None


class SliceValue(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of one named subgroup, e.g. ``site=VA``."""

    value: str
    n: int
    positives: int | None = None
    metrics: dict[str, Metric] = {}


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics after a named transformation of the test data."""

    says: str = ""
    n: int = 0
    positives: int | None = None
    metrics: dict[str, Metric] = {}
    changed_ratio: float | None = None  # share of rows whose predicted class changed


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """Difference to the champion on the same rows (positive means the subject is better).

    Attributes:
        difference: subject minus champion, sign turned so that more is better.
        low, high: interval of the difference at ``level``.
        p_better, p_worse: bootstrap shares above and below zero.
    """

    difference: float | None
    n: int
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    p_better: float | None = None
    p_worse: float | None = None
    method: str = ""
    subject_value: float | None = None
    champion_value: float | None = None


class PairedComparison(msgspec.Struct, frozen=True, kw_only=True):
    """All paired metrics against one champion."""

    champion: str  # model digest
    champion_version: str = ""
    metrics: dict[str, Paired] = {}


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """One bin of predicted probability: mean prediction against observed share."""

    low: float
    high: float
    n: int
    predicted: float | None
    observed: float | None


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: a model version or a window of live traffic."""

    kind: Literal["model_version", "window"]
    use_case: str
    version: str = ""  # registry version, as text
    digest: str = ""  # model digest: of the files that would be served
    run_id: str = ""
    window: str = ""  # window id, for live evidence


class DatasetUse(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version and the part it played."""

    digest: str
    role: Literal["train", "test", "live"]
    rows: int
    name: str = ""


class Computed(msgspec.Struct, frozen=True, kw_only=True):
    """Who computed this evidence, when and how; enough to compute it again."""

    by: str
    at: int  # ms since 1970 UTC
    code: str  # version or digest of the computing code
    seed: int = 0


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column of a window moved from the reference.

    Attributes:
        column: column name; ``score`` for the model's output.
        psi: population stability index over the reference's fixed bins.
        psi_null: its expectation when nothing moved: (B-1)(1/n + 1/m).
        psi_p: chance of a PSI at least this large when nothing moved.
        ks: largest distance between the distribution functions, from the quantile grid (numeric only).
        missing_ratio: share of missing values in the window, 0..1.
    """

    column: str
    n: int
    psi: float | None = None
    psi_null: float | None = None
    psi_p: float | None = None
    ks: float | None = None
    missing_ratio: float | None = None
    reference_missing_ratio: float | None = None


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the subject came from."""

    run_id: str = ""
    commit: str = ""
    environment: str = ""  # digest of the environment description
    datasets: list[str] = []


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """An archived graph: a Vega-Lite spec stored as a blob."""

    name: str
    title: str
    finding: str  # one sentence saying what it shows
    spec: str  # blob digest


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The document. Its digest is its identity; see ``digest``.

    ``facts`` holds named findings that are not metrics, each a flat object, reached in rules by
    ``evidence("name").field``: ``row_overlap`` {rows, ratio}, ``unknown_at_decision_time`` {columns},
    ``latency`` {p50_ms, p99_ms, n}, ``size`` {bytes}, ``coverage`` {outcomes_ratio, n}. A fact that
    was not measured is absent, and rules that ask for it are ``unknown``.
    """

    subject: Subject
    computed: Computed
    datasets: list[DatasetUse] = []
    positive: str = ""  # the outcome counted as positive
    threshold: float | None = None
    metrics: dict[str, Metric] = {}
    slices: dict[str, list[SliceValue]] = {}
    scenarios: dict[str, ScenarioResult] = {}
    paired: PairedComparison | None = None
    calibration: list[CalibrationBin] = []
    fairness: dict[str, dict[str, Metric]] = {}  # column -> measure -> value
    drift: list[Drift] = []
    facts: dict[str, dict[str, Any]] = {}
    profile: Profile | None = None
    graphs: list[Graph] = []
    lineage: Lineage = Lineage()
    predictions: str = ""  # digest of the predictions table it was computed from

    @property
    def digest(self) -> str:
        """``sha256:...`` of the canonical JSON of the whole document."""
        return digest_of(self)
