"""Settings of a server from three places: options beat ``STILE_*`` variables, which beat the TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stile.kernel.errors import Invalid
from stile.kernel.settings import Settings


def load_settings(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of a server.

    Args:
        file: TOML file with any of the settings' names.
        environ: variables; ``STILE_`` and a setting's name in capitals. Lists are separated by commas.
        options: what the command line said; None means not said.

    Raises:
        Invalid: a name is unknown, or a value does not fit; says which.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values.update(tomllib.loads(file.read_text(encoding="utf-8")))
        except tomllib.TOMLDecodeError as error:
            raise Invalid(f"{file.name} cannot be read: {error}.") from error
    for name in Settings.__struct_fields__:
        if (said := environ.get(f"STILE_{name.upper()}")) is not None:
            values[name] = (
                [part.strip() for part in said.split(",") if part.strip()] if name == "allowed_hosts" else said
            )
    values.update({name: value for name, value in (options or {}).items() if value is not None})
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"The settings do not fit: {error}.") from error
