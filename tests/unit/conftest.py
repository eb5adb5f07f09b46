"""Settings shared by the unit tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("stile", deadline=None)  # a busy machine is no failure
settings.load_profile("stile")
