"""Build hook: a wheel (or an editable install) always carries the built web assets."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class AssetsHook(BuildHookInterface):
    """Bundles ``src/stile/web/assets`` into ``src/stile/web/static`` before files are collected."""

    def dependencies(self) -> list[str]:
        """The node wheel, when the assets must be built and the system has no npm."""
        return self._builder().node_requirements()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the assets if their sources changed."""
        if self._builder().build():
            self.app.display_info("web assets built")

    def _builder(self) -> ModuleType:
        path = Path(self.root) / "src" / "stile" / "web" / "build_assets.py"
        spec = importlib.util.spec_from_file_location("stile_build_assets", path)
        if spec is None or spec.loader is None:
            raise RuntimeError(f"cannot load {path.name}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
