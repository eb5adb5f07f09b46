"""``stile init``: a plain folder for git, written from one table and the name of its outcome."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from stile.data.contract import Contract
from stile.data.contract_infer import infer_contract
from stile.data.odcs import write_contract
from stile.data.table import Table, parse_csv
from stile.kernel.errors import Exists, Invalid
from stile.people.use_cases import NAME
from stile.project.manifest import FILE

_LIKELY_POSITIVE = ("1", "yes", "true", "True", "positive", "malignant", "fraud", "default", "bad", "failure", "churn")

_FILES = {
    FILE: "stile.toml.j2",
    "policy.yaml": "policy.yaml.j2",
    "scenarios.yaml": "scenarios.yaml.j2",
    "train.py": "train.py.j2",
    "README.md": "README.md.j2",
    ".gitignore": "gitignore.j2",
    ".github/workflows/stile.yml": "stile.yml.j2",
}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What ``stile init`` was asked for.

    Attributes:
        name: of the use case.
        data: the table, CSV.
        target: the column with the outcome.
        positive: the outcome counted as positive; guessed when empty.
        segment: column whose values are judged apart; empty for none.
        title: for people; made from the name when empty.
        url: the server, written into stile.toml; empty to leave it to the environment.
        solo: one person works alone.
    """

    name: str
    data: Path
    target: str
    positive: str = ""
    segment: str = ""
    title: str = ""
    url: str = ""
    solo: bool = False


def scaffold(wish: Wish, folder: Path) -> list[str]:
    """Write the project into ``folder``; returns the files written, in reading order.

    Raises:
        Exists: there is a project in the folder already; nothing was touched.
        Invalid: the name, the table, the target or the segment cannot be used; says why.
    """
    if not NAME.fullmatch(wish.name):
        raise Invalid(f"{wish.name!r} cannot name a use case. Use 2 to 63 lower-case letters, digits or '-'.")
    for name in (*_FILES, "contract.odcs.yaml"):
        if (folder / name).exists():
            raise Exists(f"{folder / name} exists already. Choose another folder with --into, or delete it first.")
    try:
        table = parse_csv(wish.data.read_bytes())
    except FileNotFoundError:
        raise Invalid(f"There is no file {wish.data}. Give the path of a CSV table with --data.") from None
    positive = _positive(table, wish)
    contract = infer_contract(table, name=wish.name, target=wish.target)
    values = _values(wish, folder, table, contract, positive)
    engine = _engine()
    texts = {name: engine.get_template(template).render(values) for name, template in _FILES.items()}
    texts["contract.odcs.yaml"] = write_contract(contract)
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [FILE, "contract.odcs.yaml", "policy.yaml", "scenarios.yaml", "train.py", *list(_FILES)[4:]]


def _values(wish: Wish, folder: Path, table: Table, contract: Contract, positive: str) -> dict[str, Any]:
    """What the templates are filled with."""
    slices = [wish.segment] if wish.segment else []
    features = [name for name in contract.features if name not in slices]
    numbers = [name for name in features if table.is_numeric(name)]
    words = [name for name in features if not table.is_numeric(name)]
    if not features:
        raise Invalid(f"{wish.data.name} has no column besides the target to learn from.")
    telling = _most_telling(table, numbers, wish.target, positive) or (words[0] if words else "")
    return {
        "name": wish.name,
        "title": wish.title or wish.name.replace("-", " ").capitalize(),
        "table": os.path.relpath(wish.data, folder),
        "target": wish.target,
        "positive": positive,
        "segment": wish.segment,
        "segment_id": _identifier(wish.segment),
        "slices": msgspec.json.encode(slices).decode(),
        "slices_list": slices,
        "url": wish.url,
        "solo": wish.solo,
        "numbers": numbers,
        "words": words,
        "scenario": f"{_identifier(telling)}-missing" if telling else "",
        "scenario_column": telling,
        "scenario_set": "training_median" if telling in numbers else "training_most_common",
        "auc_floor": 0.7,
        "auc_percent": 70,
        "recall_floor": 0.5,
        "recall_percent": 50,
        "scenario_floor": 0.6,
    }


def _positive(table: Table, wish: Wish) -> str:
    """The outcome counted as positive: the given one, a telling word, else the rarer one."""
    for column in (wish.target, *([wish.segment] if wish.segment else [])):
        if column not in table:
            near = ", ".join(table.names[:20])
            raise Invalid(f"{wish.data.name} has no column {column!r}. It has: {near}.")
    if wish.segment == wish.target:
        raise Invalid("The segment cannot be the target.")
    texts = table.texts(wish.target).tolist()
    if None in texts:
        raise Invalid(
            f"The target {wish.target!r} is empty in row {texts.index(None) + 1}. Remove rows without an outcome."
        )
    counts = Counter(str(text) for text in texts)
    if len(counts) != 2:
        shown = ", ".join(sorted(counts)[:5]) + (", ..." if len(counts) > 5 else "")
        raise Invalid(
            f"The target {wish.target!r} has {len(counts)} different values ({shown}). "
            "stile init writes projects for targets with two outcomes."
        )
    if wish.positive:
        if wish.positive not in counts:
            raise Invalid(f"{wish.target!r} is never {wish.positive!r}; it is one of: {', '.join(sorted(counts))}.")
        return wish.positive
    return next((word for word in _LIKELY_POSITIVE if word in counts), min(counts, key=lambda word: counts[word]))


def _most_telling(table: Table, numbers: list[str], target: str, positive: str) -> str:
    """The column of numbers that follows the outcome most closely; "" when there is none."""
    import numpy as np  # noqa: PLC0415

    truth = np.asarray([text == positive for text in table.texts(target)], dtype=np.float64)
    best, name_of_best = 0.0, ""
    for name in numbers:
        values = table.numbers(name)
        known = ~np.isnan(values)
        if known.sum() < 3 or np.std(values[known]) == 0 or np.std(truth[known]) == 0:
            continue
        strength = abs(float(np.corrcoef(values[known], truth[known])[0, 1]))
        if strength > best:
            best, name_of_best = strength, name
    return name_of_best


def _identifier(text: str) -> str:
    return "-".join(part for part in "".join(c if c.isalnum() else " " for c in text.lower()).split()) or "column"


def _engine() -> jinja2.Environment:
    engine = jinja2.Environment(
        loader=jinja2.PackageLoader("stile.project", "templates"),
        autoescape=False,  # noqa: S701 - the templates make Python, TOML and YAML, not HTML
        undefined=jinja2.StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<##",
        comment_end_string="##>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    engine.filters["toml"] = lambda value: msgspec.json.encode(value).decode()
    engine.filters["yaml"] = _yaml
    return engine


def _yaml(text: str) -> str:
    """A text as one YAML scalar: bare where that is safe, else in single quotes."""
    bare = all(c.isalnum() or c in ' ()[]_-.,;>=<+%"/' for c in text) and text[:1].isalpha()
    return text if bare else "'" + text.replace("'", "''") + "'"
