"""Registering tables as dataset versions: checked against the contract first, stored only when it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from stile.data import contracts, dataset_records
from stile.data.contract import Contract, Violation
from stile.data.contract_records import ContractVersion
from stile.data.dataset_records import DatasetRole, DatasetVersion
from stile.data.events import DatasetRegistered
from stile.data.profile import Profile
from stile.kernel.errors import Conflict, ContractBroken, Invalid, Missing
from stile.store.blobs import BlobStore
from stile.store.database import Tx

if TYPE_CHECKING:
    from stile.data.table import Table

_TARGETLESS = frozenset({"live"})


@dataclass(frozen=True, slots=True)
class Checked:
    """A table that kept its contract, ready to be registered."""

    digest: str
    rows: int
    columns: int
    profile: Profile
    table_blob: str
    contract_version: int


def check(content: bytes, *, table_blob: str, contract: ContractVersion | None, role: DatasetRole) -> Checked:
    """Parse, check and profile a table. Takes seconds for large tables: not for the event loop or a transaction.

    Args:
        content: the file.
        table_blob: digest under which the file is kept.
        contract: what it must keep; None checks nothing but that it is a table with rows.
        role: ``live`` tables need no target.

    Raises:
        Invalid: it is not a table.
        ContractBroken: it breaks promises; ``details["violations"]`` lists each.
    """
    # numpy loads when the first table arrives, not when the server starts
    from stile.data.contract_check import check_table  # noqa: PLC0415
    from stile.data.profiling import build_profile  # noqa: PLC0415
    from stile.data.table import parse_table  # noqa: PLC0415

    table = parse_table(content)
    if not table.rows:
        raise Invalid("The table has no rows below its header.")
    promised = contracts.promises(contract)
    if promised is not None:
        refuse_broken(promised, check_table(promised, table, needs_target=role not in _TARGETLESS))
    return Checked(
        digest=table.digest,
        rows=table.rows,
        columns=len(table.names),
        profile=build_profile(table, profiled_columns(promised, table)),
        table_blob=table_blob,
        contract_version=0 if contract is None else contract.version,
    )


def refuse_broken(contract: Contract, violations: list[Violation]) -> None:
    """Do nothing when there are no violations.

    Raises:
        ContractBroken: there are; the message counts them and ``details["violations"]`` lists them.
    """
    if violations:
        count = "1 promise" if len(violations) == 1 else f"{len(violations)} promises"
        raise ContractBroken(
            f"The table breaks {count} of the contract {contract.name}; nothing was registered. "
            "Mend the table, or publish a contract that allows it.",
            violations=msgspec.to_builtins(violations),
        )


def register(
    tx: Tx, *, use_case: str, name: str, role: DatasetRole, checked: Checked, by: str, source: str = ""
) -> DatasetVersion:
    """Store a checked table as a dataset version. The same content under the same name and role is stored once.

    Raises:
        Invalid: the name is empty or too long.
        Conflict: another contract was published since the table was checked.
    """
    if not name.strip() or len(name) > 200:
        raise Invalid("A dataset needs a name of 1 to 200 characters.")
    present = contracts.latest(tx, use_case)
    if (0 if present is None else present.version) != checked.contract_version:
        raise Conflict("The contract changed while the table was being checked. Register the table again.")
    known = dataset_records.find_as(tx, use_case, checked.digest, name, role)
    if known is not None:
        return known
    version = DatasetVersion(
        use_case=use_case,
        name=name,
        digest=checked.digest,
        role=role,
        rows=checked.rows,
        columns=checked.columns,
        contract_version=checked.contract_version,
        profile_digest=dataset_records.save_profile(tx, checked.profile),
        table=checked.table_blob,
        source=source,
        at=tx.now_ms(),
        by=by,
    )
    dataset_records.insert(tx, version)
    tx.emit(
        DatasetRegistered(use_case=use_case, dataset=name, digest=version.digest, role=role, rows=version.rows, by=by)
    )
    return version


def get(tx: Tx, use_case: str, digest: str) -> DatasetVersion:
    """The dataset version with this content.

    Raises:
        Missing: it was never registered in this use case.
    """
    found = dataset_records.find(tx, use_case, digest)
    if found is None:
        raise Missing(f"The use case {use_case} has no dataset version {digest}. Register the table first.")
    return found


def versions(tx: Tx, use_case: str) -> list[DatasetVersion]:
    """Every dataset version, newest first."""
    return dataset_records.all_of(tx, use_case)


def profile(tx: Tx, digest: str) -> Profile:
    """A stored profile.

    Raises:
        Missing: there is none with this digest.
    """
    found = dataset_records.find_profile(tx, digest)
    if found is None:
        raise Missing(f"There is no profile {digest}.")
    return found


def load(blobs: BlobStore, version: DatasetVersion) -> Table:
    """The rows of a dataset version. Takes seconds for large tables."""
    from stile.data.table import parse_table  # noqa: PLC0415  (numpy loads on first use)

    return parse_table(blobs.get(version.table))


def profiled_columns(contract: Contract | None, table: Table) -> list[str]:
    """The columns worth profiling: everything but keys and ignored columns."""
    skipped = () if contract is None else [c.name for c in contract.columns if c.part in ("key", "ignored")]
    return [name for name in table.names if name not in skipped]
