"""Publishing and finding contracts."""

from __future__ import annotations

from stile.data import contract_records
from stile.data.contract import Contract
from stile.data.contract_records import ContractVersion
from stile.data.events import ContractPublished
from stile.data.odcs import read_contract
from stile.kernel.errors import Corrupt, Invalid, Missing
from stile.store.database import Tx


def publish(tx: Tx, *, use_case: str, yaml: str, by: str, contract: Contract | None = None) -> ContractVersion:
    """Make a contract the one that new data must keep. The same promises again change nothing.

    Args:
        tx: the transaction.
        use_case: whose data it is about.
        yaml: the ODCS file.
        by: who publishes it.
        contract: ``yaml`` as read before the transaction, which reading a long file would hold up.

    Raises:
        Invalid: it is not an ODCS contract that can be checked.
    """
    contract = contract or read_contract(yaml)
    before = contract_records.latest(tx, use_case)
    if before is not None and before.digest == contract.digest:
        return before
    version = ContractVersion(
        use_case=use_case,
        version=1 if before is None else before.version + 1,
        digest=contract.digest,
        yaml=yaml,
        at=tx.now_ms(),
        by=by,
    )
    contract_records.insert(tx, version)
    tx.emit(ContractPublished(use_case=use_case, version=version.version, digest=version.digest, by=by))
    return version


def latest(tx: Tx, use_case: str) -> ContractVersion | None:
    """The contract that new data must keep; None when none was published."""
    return contract_records.latest(tx, use_case)


def versions(tx: Tx, use_case: str) -> list[ContractVersion]:
    """Every published contract, newest first."""
    return contract_records.all_of(tx, use_case)


def get(tx: Tx, use_case: str, version: int) -> ContractVersion:
    """One published contract.

    Raises:
        Missing: there is none with this number.
    """
    found = contract_records.find(tx, use_case, version)
    if found is None:
        raise Missing(f"The use case {use_case} has no contract version {version}.")
    return found


def promises(version: ContractVersion | None) -> Contract | None:
    """What a published contract promises.

    Raises:
        Corrupt: the stored file cannot be read any more.
    """
    if version is None:
        return None
    try:
        return read_contract(version.yaml)
    except Invalid as error:
        raise Corrupt(f"The stored contract {version.use_case} v{version.version} cannot be read: {error}") from error
