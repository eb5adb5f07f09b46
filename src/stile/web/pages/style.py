"""The style page: every part with made-up values, so that a change of style is seen in one place."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.edge.call import Call
from stile.store.database import Tx
from stile.train.evidence import CalibrationBin
from stile.web.charts.calibration import calibration
from stile.web.charts.chart import Key
from stile.web.charts.curves import curve
from stile.web.charts.histograms import bin_labels, histogram_pair
from stile.web.charts.intervals import Estimate, Pair, common_range, interval_bars, slices_finding
from stile.web.charts.lineage import Node, lineage
from stile.web.charts.sparkline import sparkline
from stile.web.charts.windows import Mark, Reading, over_windows
from stile.web.pages.chain import Stop
from stile.web.render import Crumb, Frame, Page
from stile.web.words import short_time

_HOUR_MS = 3_600_000


class StyleData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page's JSON holds."""

    chain: list[Stop]


def _load(tx: Tx, call: Call) -> StyleData:  # noqa: ARG001  the values are made up
    return StyleData(
        chain=[
            Stop(id="data", name="Data", owner="both", who="shared", number="3", word="dataset versions", url="#"),
            Stop(id="train", name="Train", owner="ds", who="data science", number="12", word="runs", url="#"),
            Stop(id="govern", name="Govern", owner="both", who="shared", number="1", word="waits for a vote", url="#"),
            Stop(id="deploy", name="Deploy", owner="eng", who="engineering", number="v3", word="answers", url="#"),
            Stop(id="monitor", name="Monitor", owner="eng", who="engineering", number="2", word="open alerts", url="#"),
        ]
    )


def _extras(data: StyleData, call: Call) -> dict[str, Any]:  # noqa: ARG001  the values are made up
    pairs = [
        Pair("all", Estimate(0.964, 0.941, 0.982), Estimate(0.951, 0.925, 0.971), 171, 64),
        Pair("site=north", Estimate(0.981, 0.95, 0.995), Estimate(0.95, 0.91, 0.98), 92, 36),
        Pair("site=south", Estimate(0.912, 0.85, 0.952), Estimate(0.943, 0.89, 0.975), 79, 28),
        Pair("age<25", Estimate(None), None, 4, 1),
    ]
    span = common_range(pairs, 0.93)
    start = 1_760_000_000_000
    values = [0.962, 0.958, 0.971, 0.955, 0.947, 0.921, 0.915]
    readings = [
        Reading(start + i * 24 * _HOUR_MS, f"window {i + 1}", v, v - 0.03, min(1.0, v + 0.025), 180)
        for i, v in enumerate(values)
    ]
    edges = [8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    bins = [
        CalibrationBin(low=i / 8, high=(i + 1) / 8, n=n, predicted=(i + 0.5) / 8, observed=o)
        for i, (n, o) in enumerate(
            [(60, 0.02), (20, 0.11), (9, 0.4), (6, 0.5), (8, 0.62), (12, 0.66), (30, 0.8), (66, 0.97)]
        )
    ]
    losses = [1.0 / (1 + i / 8) + 0.05 * ((i * 7919) % 13) / 13 for i in range(120)]
    chain = [
        [Node("dataset", "patients-train", "both", "#"), Node("dataset", "patients-test", "both", "#")],
        [Node("run", "calm-otter-311", "ds", "#")],
        [Node("version", "early-detection v3", "ds", "#")],
        [Node("decision", "promoted", "both", "#")],
        [Node("gateway", "champion", "eng", "#")],
    ]
    return {
        "pairs": [(pair, interval_bars(pair, span, 0.93)) for pair in pairs],
        "pair_keys": [Key("new", "candidate"), Key("old", "champion"), Key("limit", "limit 0.93")],
        "finding": slices_finding("recall", pairs),
        "windows": over_windows(
            "recall",
            readings,
            limit=0.93,
            limit_words="floor",
            marks=[Mark(start + 50 * _HOUR_MS, "v3")],
            when=short_time,
        ),
        "histogram": histogram_pair(
            "mean radius", bin_labels(edges), [8, 30, 62, 48, 30, 18, 9, 4], [2, 8, 20, 34, 40, 30, 18, 9]
        ),
        "calibration": calibration(bins),
        "curve": curve("loss", list(range(120)), losses),
        "lineage": lineage(chain),
        "spark": sparkline("loss", losses),
    }


PAGE = Page(
    "/style",
    "style.html",
    _load,
    lambda data: Frame(title="Style", crumbs=[Crumb("Stile", "/")]),  # noqa: ARG005
    extras=_extras,
)

ROUTES = PAGE.routes
