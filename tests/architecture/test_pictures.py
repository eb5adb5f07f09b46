"""The pictures of the documentation: each is taken by the script, small, and shown somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LARGEST = 80 << 10


def taken() -> set[str]:
    """The names that scripts/pictures.py takes, read without running it."""
    tree = ast.parse((ROOT / "scripts" / "pictures.py").read_text())
    named = [
        node.value for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "PICTURES"
    ]  # fmt: skip
    assert len(named) == 1
    assert isinstance(named[0], ast.Dict)
    return {ast.literal_eval(key) for key in named[0].keys if key is not None}


def test_every_picture_is_taken_by_the_script_and_small() -> None:
    files = {file.stem: file for file in (ROOT / "docs" / "images").iterdir()}
    assert set(files) == taken()
    assert all(file.stat().st_size <= LARGEST for file in files.values())


def test_every_picture_is_shown() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {name for page in pages for name in re.findall(r"images/(\w+)\.png", page.read_text())}
    assert shown == taken()
