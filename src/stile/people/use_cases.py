"""Use cases: the problem being solved, its charter and its team. Everything else hangs from one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from stile.kernel.errors import Conflict, Corrupt, Exists, Forbidden, Invalid, Missing
from stile.kernel.permission import APPROVING_ROLES, TEAM_ROLES, Role
from stile.people import account_records, use_case_records
from stile.people.events import MembersChanged, UseCaseCreated
from stile.people.use_case_records import Member
from stile.store import ledger
from stile.store.database import Tx

NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")

Tier = Literal["low", "medium", "high"]
AliasMoves = Literal["refuse", "propose"]


class Charter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the team agreed on before training anything.

    Attributes:
        title: name for people.
        problem, decision, users: what is wrong today, which decision the model supports, who takes it.
        kpi: the number of the business that should move.
        harms: what could go wrong for whom.
        tier: materiality; policies may ask for more at ``high``.
        segment: column whose values are judged and routed apart (e.g. ``site``); empty for none.
        positive: the outcome counted as positive, in the words of the domain.
        verdicts: what a domain expert may say about one prediction, first the agreeing one.
        solo: one person works alone; written into every decision made so.
        alias_moves: what happens when a client moves the alias ``champion`` by hand: ``refuse`` it with the way to a
            decision, or take it as a wish and open a promotion request (``propose``).
    """

    title: str = ""
    problem: str = ""
    decision: str = ""
    users: str = ""
    kpi: str = ""
    harms: list[str] = []
    tier: Tier = "medium"
    segment: str = ""
    positive: str = "1"
    verdicts: list[str] = msgspec.field(default_factory=lambda: ["agree", "correct", "unsure"])
    solo: bool = False
    alias_moves: AliasMoves = "refuse"


class UseCase(Charter, frozen=True, kw_only=True):
    """A chartered use case. Its name is also the name of its registered model."""

    name: str
    created_at: int
    created_by: str


def create(tx: Tx, *, name: str, charter: Charter, by: str) -> UseCase:
    """Charter a use case.

    Raises:
        Invalid: the name is not lower-case letters, digits and ``-``; the verdicts are empty.
        Exists: the name is taken.
    """
    if not NAME.fullmatch(name):
        raise Invalid(f"{name!r} cannot name a use case. Use 2 to 63 lower-case letters, digits or '-'.")
    _check(charter)
    if use_case_records.exists(tx, name):
        raise Exists(f"There is already a use case called {name}.")
    use_case_records.insert(tx, name, msgspec.json.encode(charter), by)
    ledger.append(tx, kind="use_case_created", use_case=name, subject=name, body={"charter": charter, "by": by})
    tx.emit(UseCaseCreated(use_case=name, by=by))
    return get(tx, name)


def amend(tx: Tx, *, name: str, charter: Charter, by: str) -> UseCase:
    """Replace the charter; the ledger keeps the old one.

    Raises:
        Missing: no such use case.
        Conflict: it would become solo while several people are on its team.
    """
    before = get(tx, name)
    _check(charter)
    if charter.solo and not before.solo:
        team = sorted({member.person for member in members(tx, name)})
        if len(team) > 1:
            raise Conflict(
                f"{name} has a team ({', '.join(team[:10])}), so it cannot be solo: approvals need a second person. "
                "Take the others off the team first if one person really works alone."
            )
    use_case_records.update(tx, name, msgspec.json.encode(charter))
    ledger.append(tx, kind="charter_amended", use_case=name, subject=name, body={"charter": charter, "by": by})
    return get(tx, name)


def get(tx: Tx, name: str) -> UseCase:
    """The use case called ``name``.

    Raises:
        Missing: there is none; the message lists those that exist.
    """
    found = use_case_records.find(tx, name)
    if found is None:
        known = ", ".join(use_case_records.names(tx)[:10]) or "none yet; make one with: stile init"
        raise Missing(f"There is no use case called {name!r} (there are: {known}).")
    charter, created_at, created_by = found
    try:
        values = msgspec.json.decode(charter, type=Charter)
    except msgspec.DecodeError as error:
        raise Corrupt(f"The charter of {name} cannot be read: {error}.") from error
    return UseCase(**msgspec.structs.asdict(values), name=name, created_at=created_at, created_by=created_by)


def exists(tx: Tx, name: str) -> bool:
    """Whether there is a use case called ``name``."""
    return use_case_records.exists(tx, name)


def all_use_cases(tx: Tx) -> list[UseCase]:
    """Every use case by name."""
    return [get(tx, name) for name in use_case_records.names(tx)]


def members(tx: Tx, name: str) -> list[Member]:
    """Who is on the team, one line per role."""
    return use_case_records.members(tx, name)


def people_in_role(tx: Tx, name: str, role: Role) -> list[str]:
    """Everybody who holds ``role`` in the use case."""
    return [member.person for member in members(tx, name) if member.role == role]


def set_roles(tx: Tx, *, name: str, person: str, roles: Iterable[Role], by: str) -> list[Member]:
    """Give a person exactly these roles in the use case; none takes the person off the team.

    Raises:
        Missing: no such use case or account.
        Invalid: a role is not one of a team.
        Forbidden: somebody gives themselves a role whose holders approve, in a use case that is not solo.
    """
    solo = get(tx, name).solo
    if account_records.find(tx, person) is None:
        raise Missing(f"There is no account called {person!r}. Make one with: stile user add {person}.")
    wanted = sorted(set(roles))
    for role in wanted:
        if role not in TEAM_ROLES:
            raise Invalid(f"{role} is not a role in a use case. These are: {', '.join(TEAM_ROLES)}.")
    if person == by and not solo:
        held = {member.role for member in members(tx, name) if member.person == person}
        gained = [role for role in wanted if role in APPROVING_ROLES and role not in held]
        if gained:
            raise Forbidden(
                f"Nobody gives themselves a role that approves ({', '.join(gained)}). Ask another person to do it."
            )
    use_case_records.set_roles(tx, name, person, wanted, by)
    ledger.append(
        tx, kind="roles_set", use_case=name, subject=person,
        body={"person": person, "roles": wanted, "by": by},
    )  # fmt: skip
    tx.emit(MembersChanged(use_case=name, person=person, roles=[str(role) for role in wanted], by=by))
    return members(tx, name)


def _check(charter: Charter) -> None:
    if not charter.verdicts or len(set(charter.verdicts)) != len(charter.verdicts):
        raise Invalid("A charter needs at least one verdict for feedback, and each only once.")
