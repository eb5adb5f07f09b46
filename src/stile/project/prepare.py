"""The first step: contract published, table checked and split by digest, both parts kept as dataset versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stile.data.contract_check import check_table
from stile.data.odcs import read_contract
from stile.data.table import Table, parse_csv, to_csv
from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import ContractBroken, Invalid
from stile.project.chain import Progress, Walk
from stile.project.manifest import Project
from stile.project.split import split

ROW = "row"
"""First column of the tables given to train.py: the digest that names the row wherever it goes."""


def tables(project: Project) -> Path:
    """Folder of the tables given to train.py."""
    return project.work / "tables"


def inputs(walk: Walk) -> dict[str, Any]:
    """What the step depends on."""
    project, described = walk.project, walk.project.manifest.data
    return {
        "contract": digest_bytes(project.text(project.manifest.contract).encode()),
        "table": digest_bytes(project.path(described.table).read_bytes()),
        "split": [described.test_ratio, described.split_by],
        "kept": [(tables(project) / f"{part}.csv").is_file() for part in ("train", "test")],
    }


def prepare(walk: Walk, progress: Progress) -> dict[str, Any]:
    """Publish the contract, check the table against it, split it, register both parts.

    Raises:
        ContractBroken: with every violation; nothing was registered.
    """
    project, described = walk.project, walk.project.manifest.data
    progress(0.05, "publishing the contract")
    text = project.text(project.manifest.contract)
    contract = read_contract(text)
    published = walk.scope.publish_contract(text)
    progress(0.2, "checking the table")
    table = parse_csv(project.path(described.table).read_bytes())
    if described.target not in table:
        raise Invalid(f"{described.table} has no column {described.target!r}, which stile.toml names as the target.")
    if violations := check_table(contract, table):
        raise ContractBroken(
            f"{described.table} breaks {_count(len(violations), 'promise')} of {project.manifest.contract}.",
            violations=[{"column": v.column, "rule": v.rule, "message": v.message} for v in violations],
        )
    progress(0.4, "splitting by row digest")
    train_rows, test_rows = split(table, described.test_ratio, described.split_by)
    datasets: dict[str, Any] = {}
    for place, (role, rows) in enumerate((("train", train_rows), ("test", test_rows))):
        progress(0.5 + 0.25 * place, f"registering the {role} part")
        part = table.take(rows)
        datasets[role] = registered(walk, part, role, role)
        write_with_rows(tables(project) / f"{role}.csv", part)
    says = f"{table.rows} rows keep the contract: {len(train_rows)} to train on, {len(test_rows)} to test on"
    return {"says": says, "contract": published.get("digest", ""), "datasets": datasets}


def registered(walk: Walk, part: Table, name: str, role: str) -> dict[str, Any]:
    """A table kept as a dataset version on the server: its digest, rows and the file's digest."""
    made = walk.scope.register_dataset(name, role, to_csv(part), source=walk.project.manifest.data.table)
    return {"digest": made["digest"], "rows": part.rows}


def write_with_rows(file: Path, table: Table) -> None:
    """Write a table for train.py: the row digests first, then the columns."""
    write_rows(file, table, table.row_digests())


def write_rows(file: Path, table: Table, rows: list[str]) -> None:
    """Write a table for train.py under given row names."""
    from stile.data.table import table_of  # noqa: PLC0415

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(to_csv(table_of({ROW: rows, **table.columns})))


def read_rows(file: Path) -> tuple[list[str], Table]:
    """A table given to train.py: its row names and the table without them."""
    table = parse_csv(file.read_bytes())
    names = [name for name in table.names if name != ROW]
    return [str(text) for text in table.texts(ROW)], table.pick(names)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
