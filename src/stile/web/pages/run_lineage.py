"""Where a run came from and what became of it: what it has read, what it left, what was registered from it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from stile.govern import registry_search
from stile.people import use_cases
from stile.store.database import Tx
from stile.train.run_values import Run
from stile.web.charts.lineage import Node


class RegisteredAs(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was registered from this run."""

    model: str
    version: int
    aliases: list[str]
    digest: str
    governed: bool

    @property
    def url(self) -> str:
        """Its gate; where no use case governs it, its row on the page of the model."""
        home = f"/models/{quote(self.model, safe='')}"
        return f"{home}/versions/{self.version}/gate" if self.governed else f"{home}#v{self.version}"


def registered(tx: Tx, run_id: str) -> list[RegisteredAs]:
    """The versions of any model that came from a run."""
    found = registry_search.search_versions(tx, filter=f"run_id = '{run_id}'", max_results=100).versions
    return [
        RegisteredAs(
            model=each.name,
            version=each.version,
            aliases=each.aliases,
            digest=each.digest,
            governed=use_cases.exists(tx, each.name),
        )
        for each in found
    ]


def columns(run: Run, models: Sequence[str], versions_of_it: Sequence[RegisteredAs]) -> list[list[Node]]:
    """The way from what a run has read to where it is in use, from left to right.

    Args:
        run: the run.
        models: names of the models it has logged.
        versions_of_it: versions that were registered from it.
    """
    tables = [Node("dataset", each.name or each.digest[:12], "both") for each in run.datasets[:4]]
    read = [Node("model read", each.model_id, "ds") for each in run.models if each.direction == "input"][:2]
    logged = [Node("model", name, "ds", "#files") for name in models[:4]]
    versions = [Node("version", f"{each.model} v{each.version}", "ds", each.url) for each in versions_of_it[:4]]
    use = [
        Node("in use as", f"{alias} of {each.model}", "eng", f"/models/{quote(each.model, safe='')}")
        for each in versions_of_it[:4] for alias in each.aliases
    ][:4]  # fmt: skip
    return [tables + read, [Node("run", run.info.name, "ds")], logged, versions, use]
