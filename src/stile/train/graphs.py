"""Graphs of an evaluation as Vega-Lite specs with their data inside, each with one sentence that says what it shows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from stile.data.table import Numbers
from stile.train.evidence import CalibrationBin, Metric, SliceValue
from stile.train.outcomes import Binary, Multiclass, Outcomes, Regression

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_POINTS = 200  # of a curve; more cannot be told apart on a screen
_BINS = 20
_MAX_CLASSES = 30
_SCATTER = 1000


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A graph before it is archived."""

    name: str
    title: str
    finding: str
    spec: dict[str, Any]


def draw(
    outcomes: Outcomes,
    metrics: dict[str, Metric],
    calibration: list[CalibrationBin],
    slices: dict[str, list[SliceValue]],
    *,
    positive: str,
    threshold: float | None,
) -> list[Drawing]:
    """Every graph these outcomes allow."""
    if isinstance(outcomes, Regression):
        return [_scatter(outcomes, metrics), *_slice_graphs(slices, "mae")]
    if isinstance(outcomes, Multiclass):
        return [_confusion_of_classes(outcomes, metrics), *_slice_graphs(slices, "accuracy")]
    drawings = [_confusion(outcomes, positive)]
    if outcomes.score is not None and 0 < outcomes.y.sum() < outcomes.n:
        drawings = [
            _roc(outcomes, outcomes.score, metrics),
            _precision_recall(outcomes, outcomes.score, metrics),
            _calibration(calibration, metrics),
            _scores(outcomes, outcomes.score, positive, threshold),
            *drawings,
        ]
    return drawings + _slice_graphs(slices, "recall")


def _roc(outcomes: Binary, score: Numbers, metrics: dict[str, Metric]) -> Drawing:
    hits, misses = _cumulative(outcomes, score)
    x, y = _thinned(misses / misses[-1], hits / hits[-1])
    rows = [{"x": a, "y": b} for a, b in zip(x, y, strict=True)]
    diagonal = {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "opacity": 0.5},
        "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
    }
    curve = {
        "data": {"values": rows},
        "mark": {"type": "line", "interpolate": "step-after"},
        "encoding": {"x": _share("x", "False positives (share of negatives)"), "y": _share("y", "Recall")},
    }
    auc = metrics["auc"]
    finding = f"AUC {_with_interval(auc)}: in that share of pairs the positive row has the higher score."
    return _drawing("roc", "ROC curve", finding, {"layer": [diagonal, curve]})


def _precision_recall(outcomes: Binary, score: Numbers, metrics: dict[str, Metric]) -> Drawing:
    hits, misses = _cumulative(outcomes, score)
    x, y = _thinned(hits[1:] / hits[-1], hits[1:] / (hits[1:] + misses[1:]))
    spec = {
        "data": {"values": [{"recall": a, "precision": b} for a, b in zip(x, y, strict=True)]},
        "mark": {"type": "line", "interpolate": "step-before"},
        "encoding": {"x": _share("recall", "Recall"), "y": _share("precision", "Precision")},
    }
    base = metrics["prevalence"].value or 0.0
    finding = f"Average precision {_with_interval(metrics['average_precision'])}; guessing would reach {base:.3f}."
    return _drawing("precision-recall", "Precision and recall", finding, spec)


def _calibration(bins: list[CalibrationBin], metrics: dict[str, Metric]) -> Drawing:
    rows = [{"predicted": b.predicted, "observed": b.observed, "n": b.n} for b in bins if b.n]
    diagonal = {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "opacity": 0.5},
        "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
    }
    points = {
        "data": {"values": rows},
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": _share("predicted", "Mean score"),
            "y": _share("observed", "Observed share"),
            "size": {"field": "n", "type": "quantitative", "title": "Rows"},
            "tooltip": [{"field": name} for name in ("predicted", "observed", "n")],
        },
    }
    ece = metrics["ece"].value or 0.0
    finding = f"Scores are off by {ece:.3f} on average (expected calibration error)."
    return _drawing("calibration", "Calibration", finding, {"layer": [diagonal, points]})


def _scores(outcomes: Binary, score: Numbers, positive: str, threshold: float | None) -> Drawing:
    edges = np.linspace(0, 1, _BINS + 1)
    rows = []
    for mask, name in ((outcomes.y, positive or "positive"), (~outcomes.y, f"not {positive or 'positive'}")):
        counts, _ = np.histogram(score[mask], edges)
        for low, count in zip(edges[:-1], counts, strict=True):
            rows.append(
                {
                    "low": round(float(low), 4),
                    "high": round(float(low) + 1 / _BINS, 4),
                    "rows": int(count),
                    "outcome": name,
                }
            )
    bars = {
        "data": {"values": rows},
        "mark": {"type": "bar", "opacity": 0.65},
        "encoding": {
            "x": {"field": "low", "type": "quantitative", "bin": {"binned": True}, "title": "Score"},
            "x2": {"field": "high"},
            "y": {"field": "rows", "type": "quantitative", "stack": None, "title": "Rows"},
            "color": {"field": "outcome", "type": "nominal", "title": "Outcome"},
        },
    }
    layers = [bars]
    if threshold is not None:
        layers.append(
            {
                "data": {"values": [{"threshold": threshold}]},
                "mark": {"type": "rule", "strokeDash": [4, 4]},
                "encoding": {"x": {"field": "threshold", "type": "quantitative"}},
            }
        )
    wrong = int((outcomes.y != outcomes.predicted).sum())
    finding = f"{wrong} of {outcomes.n} rows are on the wrong side" + (
        "." if threshold is None else f" of {threshold:g}."
    )
    return _drawing("scores", "Scores by outcome", finding, {"layer": layers})


def _confusion(outcomes: Binary, positive: str) -> Drawing:
    y, said = outcomes.y, outcomes.predicted
    word = positive or "positive"
    cells = [
        (word, word, int((y & said).sum())),
        (word, f"not {word}", int((y & ~said).sum())),
        (f"not {word}", word, int((~y & said).sum())),
        (f"not {word}", f"not {word}", int((~y & ~said).sum())),
    ]
    finding = (
        f"{cells[1][2]} of {int(y.sum())} {word} rows are missed; "
        f"{cells[2][2]} of {int((~y).sum())} others are flagged for nothing."
    )
    return _drawing("confusion", "What was true, what was said", finding, _table_of_counts(cells))


def _confusion_of_classes(outcomes: Multiclass, metrics: dict[str, Metric]) -> Drawing:
    pairs, counts = np.unique(
        np.array(list(zip(outcomes.y, outcomes.predicted, strict=True)), dtype=np.str_), axis=0, return_counts=True
    )
    cells = [(str(true), str(said), int(n)) for (true, said), n in zip(pairs, counts, strict=True)]
    cells = sorted(cells, key=lambda cell: -cell[2])[: _MAX_CLASSES**2]
    wrong = [cell for cell in cells if cell[0] != cell[1]]
    finding = f"Accuracy {_with_interval(metrics['accuracy'])}"
    finding += f"; most often {wrong[0][0]} is taken for {wrong[0][1]} ({wrong[0][2]} rows)." if wrong else "."
    return _drawing("confusion", "What was true, what was said", finding, _table_of_counts(cells))


def _table_of_counts(cells: list[tuple[str, str, int]]) -> dict[str, Any]:
    dark = max(n for _, _, n in cells) * 0.6
    ink = {"condition": {"test": f"datum.rows > {dark:g}", "value": "white"}, "value": "black"}
    return {
        "data": {"values": [{"true": true, "said": said, "rows": n} for true, said, n in cells]},
        "encoding": {
            "x": {"field": "said", "type": "nominal", "title": "Said", "axis": {"labelAngle": 0}},
            "y": {"field": "true", "type": "nominal", "title": "True"},
        },
        "layer": [
            {"mark": "rect", "encoding": {"color": {"field": "rows", "type": "quantitative", "title": "Rows"}}},
            {"mark": {"type": "text", "fontSize": 16}, "encoding": {"text": {"field": "rows"}, "color": ink}},
        ],
    }


def _slice_graphs(slices: dict[str, list[SliceValue]], metric: str) -> list[Drawing]:
    drawings = []
    for column, values in slices.items():
        found = [(one, one.metrics[metric]) for one in values if metric in one.metrics]
        known = [(one, m, m.value) for one, m in found if m.value is not None]
        if not known:
            continue
        rows = [
            {"slice": one.value, metric: value, "low": m.low, "high": m.high, "n": one.n, "positives": one.positives}
            for one, m, value in known
        ]
        y = {"field": "slice", "type": "nominal", "sort": [row["slice"] for row in rows], "title": column}
        spec = {
            "data": {"values": rows},
            "height": {"step": 36},
            "layer": [
                {
                    "mark": {"type": "rule"},
                    "encoding": {"x": _number("low", metric), "x2": {"field": "high"}, "y": y},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 80},
                    "encoding": {
                        "x": _number(metric, metric),
                        "y": y,
                        "tooltip": [{"field": name} for name in ("slice", metric, "low", "high", "n", "positives")],
                    },
                },
            ],
        }
        worst = max if metric == "mae" else min
        one, _, value = worst(known, key=lambda item: item[2])
        finding = f"Weakest is {column}={one.value} with {metric} {value:.3f} (n = {one.n})."
        drawings.append(_drawing(f"{metric}-by-{column}", f"{_title(metric)} by {column}", finding, spec))
    return drawings


def _scatter(outcomes: Regression, metrics: dict[str, Metric]) -> Drawing:
    chosen = np.unique(np.linspace(0, outcomes.n - 1, min(outcomes.n, _SCATTER)).astype(np.int64))
    rows = [{"true": float(outcomes.y[i]), "predicted": float(outcomes.predicted[i])} for i in chosen]
    spec = {
        "data": {"values": rows},
        "mark": {"type": "point", "opacity": 0.5},
        "encoding": {"x": _number("true", "True"), "y": _number("predicted", "Predicted")},
    }
    finding = f"Predictions are off by {_with_interval(metrics['mae'])} on average."
    return _drawing("predicted-by-true", "Predicted against true", finding, spec)


def _drawing(name: str, title: str, finding: str, spec: dict[str, Any]) -> Drawing:
    whole = {"$schema": SCHEMA, "title": title, "description": finding, "width": "container", "height": 280, **spec}
    return Drawing(name=name, title=title, finding=finding, spec=whole)


def _cumulative(outcomes: Binary, score: Numbers) -> tuple[Numbers, Numbers]:
    """Positives and negatives at or above every distinct score, best first, beginning with none."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    y = outcomes.y[order]
    hits = np.concatenate([[0.0], np.cumsum(y)[ends]])
    return hits, np.concatenate([[0.0], np.cumsum(~y)[ends]])


def _thinned(x: Numbers, y: Numbers) -> tuple[list[float], list[float]]:
    chosen = np.unique(np.linspace(0, x.size - 1, min(x.size, _POINTS)).astype(np.int64))
    return np.round(x[chosen], 5).tolist(), np.round(y[chosen], 5).tolist()


def _title(metric: str) -> str:
    return metric.upper() if metric == "mae" else metric.capitalize()


def _share(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"domain": [0, 1]}}


def _number(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": _title(title), "scale": {"zero": False}}


def _with_interval(metric: Metric) -> str:
    if metric.value is None:
        return "is not defined here"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"
