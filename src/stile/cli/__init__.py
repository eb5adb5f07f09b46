"""The command ``stile``: one module per group of commands, loaded when it is asked for."""

from stile.cli.root import main

__all__ = ["main"]
