"""People: who has an account, in which role of which use case."""

from __future__ import annotations

import msgspec

from stile.edge.call import Call
from stile.kernel.permission import Role
from stile.people import account_records, use_case_records, use_cases
from stile.people.account_records import Account
from stile.store.database import Tx
from stile.web.render import Frame, Page


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """An account with the roles it holds."""

    account: Account
    roles: dict[str, list[Role]]


class PeopleData(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody, and the names of the use cases there are."""

    people: list[Person]
    use_cases: list[str]


def _load(tx: Tx, call: Call) -> PeopleData:  # noqa: ARG001  the same for everybody
    people = [
        Person(
            account=account,
            roles={name: sorted(held) for name, held in use_case_records.roles_by_use_case(tx, account.name).items()},
        )
        for account in account_records.all_accounts(tx)
    ]
    return PeopleData(people=people, use_cases=[each.name for each in use_cases.all_use_cases(tx)])


PAGE = Page("/people", "people.html", _load, lambda data: Frame(title="People", live="people"))  # noqa: ARG005

ROUTES = PAGE.routes
