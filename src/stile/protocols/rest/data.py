"""Contracts, dataset versions and profiles over HTTP."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from stile.data import contracts, datasets
from stile.data.contract_records import ContractVersion
from stile.data.dataset_records import DatasetRole
from stile.data.odcs import read_contract
from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.errors import Missing, TooLarge
from stile.kernel.permission import Permission
from stile.people import use_cases
from stile.store.database import Tx

_MAX_TABLE_BYTES = 1 << 30


class _NewContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    yaml: str


class _NewDataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    role: DatasetRole
    table: str
    source: str = ""


async def _publish_contract(call: Call) -> Response:
    use_case = call.path("use_case")
    wanted = await call.json(_NewContract)
    await call.read(lambda tx: use_cases.get(tx, use_case))
    contract = await asyncio.to_thread(read_contract, wanted.yaml)

    def publish(tx: Tx) -> ContractVersion:
        return contracts.publish(tx, use_case=use_case, yaml=wanted.yaml, contract=contract, by=call.principal.name)

    return json_response(await call.write(publish), 201)


async def _list_contracts(call: Call) -> Response:
    use_case = call.path("use_case")

    def look(tx: Tx) -> list[ContractVersion]:
        use_cases.get(tx, use_case)
        return contracts.versions(tx, use_case)

    return json_response({"contracts": await call.read(look)})


async def _register_dataset(call: Call) -> Response:
    use_case = call.path("use_case")
    wanted = await call.json(_NewDataset)
    blobs = call.services.blobs

    def contract_of(tx: Tx) -> ContractVersion | None:
        use_cases.get(tx, use_case)
        return contracts.latest(tx, use_case)

    contract = await call.read(contract_of)

    def check() -> datasets.Checked:
        if not blobs.has(wanted.table):
            raise Missing(f"There is no blob {wanted.table[:80]}. Upload the table first (PUT /api/v1/blobs).")
        if blobs.size(wanted.table) > _MAX_TABLE_BYTES:
            raise TooLarge(f"The table is larger than {_MAX_TABLE_BYTES} bytes.", limit=_MAX_TABLE_BYTES)
        content = blobs.get(wanted.table)
        return datasets.check(content, table_blob=wanted.table, contract=contract, role=wanted.role)

    checked = await asyncio.to_thread(check)
    made = await call.write(
        lambda tx: datasets.register(
            tx,
            use_case=use_case,
            name=wanted.name,
            role=wanted.role,
            checked=checked,
            source=wanted.source,
            by=call.principal.name,
        )
    )
    return json_response(made, 201)


async def _list_datasets(call: Call) -> Response:
    use_case = call.path("use_case")

    def look(tx: Tx) -> object:
        use_cases.get(tx, use_case)
        return datasets.versions(tx, use_case)

    return json_response({"datasets": await call.read(look)})


async def _get_profile(call: Call) -> Response:
    digest = call.path("digest")
    return json_response(await call.read(lambda tx: datasets.profile(tx, digest)))


_U = "/api/v1/use-cases/{use_case}"

ROUTES = [
    Route("POST", _U + "/contracts", Permission.DATA_WRITE, _publish_contract, summary="Publish a data contract"),
    Route("GET", _U + "/contracts", Permission.READ, _list_contracts, summary="Published contracts, newest first"),
    Route("POST", _U + "/datasets", Permission.DATA_WRITE, _register_dataset, summary="Register a checked table"),
    Route("GET", _U + "/datasets", Permission.READ, _list_datasets, summary="Dataset versions, newest first"),
    Route("GET", _U + "/profiles/{digest}", Permission.READ, _get_profile, summary="A reference profile"),
]
