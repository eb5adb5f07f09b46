"""A model: its versions and where each stands, its aliases, what serves, and the decisions in their order."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.edge.call import Call
from stile.govern import decision_records, policies, registry, snapshot
from stile.govern.assess import assess
from stile.govern.decision_values import Decision
from stile.govern.gate import GateResult
from stile.govern.labels import Standing
from stile.govern.version_records import ModelVersion
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evidence_records
from stile.train.evidence import Metric
from stile.web.charts.intervals import Estimate, Pair, common_range, interval_bars
from stile.web.pages.chain import Stop, chain
from stile.web.pages.gate_view import verdict_of
from stile.web.pages.use_cases import headline
from stile.web.pages.version_runs import Origins, origins
from stile.web.render import Crumb, Frame, Page

GUARDED = ("champion", "challenger", "shadow")


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version in the list. ``metric``/``value``: what stands for it; ``result``: the gate's answer now."""

    version: ModelVersion
    metric: str
    value: Metric | None
    result: GateResult | None
    standing: Standing | None


class ModelData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the page of a model says.

    Attributes:
        governed: it belongs to a use case; else it is only registered, and ``chain`` is empty.
        policy: whether a policy is in force.
        held: the champion is on hold: it answers, but people must decide.
        previous: the champion before, 0 for none: what a rollback returns to.
        origins: the runs the versions came from, where nothing else stands for them: of a model that is not governed.
    """

    name: str
    title: str
    description: str
    governed: bool
    policy: bool
    chain: list[Stop]
    versions: list[VersionRow]
    aliases: dict[str, int]
    decisions: list[Decision]
    champion: int
    held: bool
    previous: int
    origins: Origins


def _load(tx: Tx, call: Call) -> ModelData:
    name = call.path("name")
    governed = use_cases.exists(tx, name)
    found = registry.versions(tx, name)
    if not governed:
        registry.model(tx, name)
    compiled = policies.compiled_in_force(tx, name) if governed else None
    results: dict[int, GateResult] = {}
    standings: dict[int, Standing] = {}
    champion = previous = 0
    held = False
    if compiled is not None:
        world = snapshot.read_world(tx, name)
        assessment = assess(world)
        results = {each.version: each for each in assessment.results}
        standings = {each.version: each for each in assessment.standings}
        champion, held = world.past.champion, world.past.held
        previous = world.past.champions[-2] if len(world.past.champions) > 1 else 0
    use_case = use_cases.get(tx, name) if governed else None
    return ModelData(
        name=name,
        title=(use_case.title if use_case else "") or name,
        description=registry.model(tx, name).description if found else "",
        governed=governed,
        policy=compiled is not None,
        chain=chain(tx, name) if governed else [],
        versions=[_row(tx, name, each, results, standings) for each in found],
        aliases=registry.aliases(tx, name),
        decisions=decision_records.listing(tx, name, limit=50) if governed else [],
        champion=champion,
        held=held,
        previous=previous,
        origins=origins(tx, () if governed else [each.run_id for each in found]),
    )


def _row(
    tx: Tx, name: str, version: ModelVersion, results: dict[int, GateResult], standings: dict[int, Standing]
) -> VersionRow:
    evidence = evidence_records.latest_for_version(tx, name, version.digest) if version.digest else None
    metric, value = headline(evidence.metrics) if evidence else ("", None)
    return VersionRow(
        version=version, metric=metric, value=value,
        result=results.get(version.version), standing=standings.get(version.version),
    )  # fmt: skip


def _frame(data: ModelData) -> Frame:
    middle = [Crumb(data.name, f"/use-cases/{data.name}")] if data.governed else []
    return Frame(
        title=f"Model {data.name}",
        here="portfolio",
        crumbs=[Crumb("Portfolio", "/portfolio"), *middle, Crumb("Model")],
        live=f"govern govern:{data.name} train:{data.name} deploy:{data.name}",
    )


def _extras(data: ModelData, call: Call) -> dict[str, Any]:
    pairs = {
        row.version.version: Pair(f"v{row.version.version}", Estimate(row.value.value, row.value.low, row.value.high))
        for row in data.versions
        if row.value is not None
    }
    span = common_range(list(pairs.values()))
    return {
        "here": "govern",
        "bars": {version: interval_bars(pair, span) for version, pair in pairs.items()},
        "verdicts": {row.version.version: verdict_of(row.result) for row in data.versions},
        "guarded": GUARDED if data.governed else (),
        "url": call.services.settings.url,
    }


PAGE = Page("/models/{name}", "model.html", _load, _frame, extras=_extras)

ROUTES = PAGE.routes
