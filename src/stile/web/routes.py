"""Every route of the web UI."""

from __future__ import annotations

from stile.edge.route import Route
from stile.web import static
from stile.web.pages import (
    board,
    compare,
    compare_live,
    compare_tables,
    decisions,
    evidence,
    feedback,
    gate,
    gate_forms,
    graphs,
    inbox,
    ledger,
    model,
    monitor,
    people,
    predictions,
    run,
    run_files,
    run_forms,
    run_series,
    runs,
    sign_in,
    style,
    trace,
    traces,
    use_cases,
    webhook_forms,
    webhooks,
)

_PAGES = (
    static, inbox, use_cases, runs, run, run_series, run_files, run_forms, compare, compare_live, compare_tables,
    graphs, gate, gate_forms, model, decisions, evidence, monitor, feedback, predictions, board, people, ledger,
    sign_in, style, traces, trace, webhooks, webhook_forms,
)  # fmt: skip

ROUTES: list[Route] = [route for module in _PAGES for route in module.ROUTES]
