"""Who may do what: a pure decision, the same for the API, the CLI and the buttons on a page.

Deny by default: a right exists only where a row of ``GRANTS`` gives it to a role the
principal holds. Rights are additive, so more roles never mean fewer rights. Approving is
not a right of this table alone: ``govern`` also checks, in the transaction that promotes,
that the approver holds the role asked for and is not the author.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What a person is in one use case, or (the last two) in the whole installation."""

    VIEWER = "viewer"
    DATA_SCIENTIST = "data_scientist"
    DATA_ENGINEER = "data_engineer"
    ML_ENGINEER = "ml_engineer"
    PRODUCT_MANAGER = "product_manager"
    DOMAIN_EXPERT = "domain_expert"
    COMPLIANCE = "compliance"
    SERVICE = "service"
    OPERATOR = "operator"
    AUDITOR = "auditor"


TEAM_ROLES = tuple(role for role in Role if role not in (Role.OPERATOR, Role.AUDITOR))
"""Roles a person holds in one use case."""

APPROVING_ROLES = (Role.PRODUCT_MANAGER, Role.DOMAIN_EXPERT, Role.COMPLIANCE, Role.ML_ENGINEER, Role.DATA_ENGINEER)
"""Roles a policy may ask an approval of."""


class Permission(StrEnum):
    """One kind of act. Every route declares exactly one."""

    PUBLIC = "public"  # health and version: nothing that tells about anybody's work
    SIGN_IN = "sign_in"  # the way in; open to everybody, slow to the insistent
    READ = "read"  # look at use cases, runs, models, decisions, windows, cards
    TRACK = "track"  # write experiments, runs, metrics, artifacts
    REGISTER = "register"  # register models and versions, move unguarded aliases
    DATA_WRITE = "data_write"  # contracts and dataset versions
    EVALUATE = "evaluate"  # turn predictions into evidence
    POLICY_WRITE = "policy_write"  # publish a policy
    PROPOSE = "propose"  # open a promotion request
    APPROVE = "approve"  # say yes or no in a role
    APPLY = "apply"  # carry out a plan, roll back
    DEPLOY = "deploy"  # routes; what a gateway needs to run
    PREDICT_LOG = "predict_log"  # deliver predictions and outcomes of live traffic
    FEEDBACK = "feedback"  # say what one thinks of a prediction
    MONITOR = "monitor"  # close windows, acknowledge alerts
    BOARD = "board"  # cards, comments
    USE_CASE_WRITE = "use_case_write"  # charter and members
    PEOPLE_ADMIN = "people_admin"  # accounts and tokens of other people
    AUDIT = "audit"  # export the ledger
    OPERATE = "operate"  # purge what was deleted, back up


_EVERY_TEAM_ROLE = frozenset(TEAM_ROLES)
_PEOPLE = _EVERY_TEAM_ROLE - {Role.SERVICE, Role.VIEWER}

GRANTS: dict[Permission, frozenset[Role]] = {
    Permission.PUBLIC: frozenset(Role),
    Permission.SIGN_IN: frozenset(Role),
    Permission.READ: frozenset(Role),
    Permission.TRACK: frozenset({Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.DATA_ENGINEER, Role.SERVICE}),
    Permission.REGISTER: frozenset({Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.SERVICE}),
    Permission.DATA_WRITE: frozenset({Role.DATA_SCIENTIST, Role.DATA_ENGINEER, Role.ML_ENGINEER, Role.SERVICE}),
    Permission.EVALUATE: frozenset({Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.SERVICE}),
    Permission.POLICY_WRITE: frozenset({Role.PRODUCT_MANAGER, Role.COMPLIANCE, Role.DATA_SCIENTIST, Role.ML_ENGINEER}),
    Permission.PROPOSE: frozenset({Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.SERVICE}),
    Permission.APPROVE: frozenset(APPROVING_ROLES),
    Permission.APPLY: frozenset({Role.ML_ENGINEER, Role.PRODUCT_MANAGER}),
    Permission.DEPLOY: frozenset({Role.ML_ENGINEER, Role.SERVICE}),
    Permission.PREDICT_LOG: frozenset({Role.ML_ENGINEER, Role.DATA_ENGINEER, Role.SERVICE}),
    Permission.FEEDBACK: frozenset({Role.DOMAIN_EXPERT, Role.PRODUCT_MANAGER, Role.DATA_SCIENTIST, Role.COMPLIANCE}),
    Permission.MONITOR: frozenset({Role.ML_ENGINEER, Role.DATA_ENGINEER, Role.DATA_SCIENTIST, Role.SERVICE}),
    Permission.BOARD: _PEOPLE,
    Permission.USE_CASE_WRITE: frozenset({Role.PRODUCT_MANAGER, Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.OPERATOR}),
    Permission.PEOPLE_ADMIN: frozenset({Role.OPERATOR}),
    Permission.AUDIT: frozenset({Role.COMPLIANCE, Role.AUDITOR, Role.OPERATOR}),
    Permission.OPERATE: frozenset({Role.OPERATOR}),
}

MACHINE_MAY_NEVER = frozenset(
    {
        Permission.APPROVE,
        Permission.APPLY,
        Permission.FEEDBACK,
        Permission.PEOPLE_ADMIN,
        Permission.POLICY_WRITE,
        Permission.USE_CASE_WRITE,
    }
)
"""Acts that only a person may do, whatever roles a service account was given."""

LOCAL_MAY_NEVER = frozenset({Permission.APPROVE})
"""Acts the unauthenticated caller on loopback may not do in a use case unless it is declared ``solo``."""


class PrincipalKind(StrEnum):
    """How we know who is asking."""

    PERSON = "person"
    SERVICE = "service"
    LOCAL = "local"  # unauthenticated caller on loopback
    NOBODY = "nobody"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking.

    Attributes:
        name: account name; ``local-user`` for the unauthenticated caller on loopback.
        kind: how we know.
        system_roles: roles in the whole installation (operator, auditor).
        team_roles: roles by use case name.
        credential_by: who handed out the token, link or password they came with, when somebody else did: that one
            could act as them.
    """

    name: str
    kind: PrincipalKind
    system_roles: frozenset[Role] = frozenset()
    team_roles: dict[str, frozenset[Role]] = msgspec.field(default_factory=dict)
    credential_by: str = ""

    def roles_in(self, use_case: str | None) -> frozenset[Role]:
        """Roles that count for an act in ``use_case``; with None, roles held anywhere."""
        if use_case is None:
            team: frozenset[Role] = frozenset().union(*self.team_roles.values())
        else:
            team = self.team_roles.get(use_case, frozenset())
        return self.system_roles | team


LOCAL_USER = Principal(name="local-user", kind=PrincipalKind.LOCAL)
NOBODY = Principal(name="nobody", kind=PrincipalKind.NOBODY)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``may``: yes or no, and why in words a person can act on."""

    allowed: bool
    reason: str


def may(principal: Principal, permission: Permission, use_case: str | None = None, *, solo: bool = False) -> Verdict:
    """Whether ``principal`` may do an act of kind ``permission``.

    Args:
        principal: who asks.
        permission: the kind of act.
        use_case: the use case it happens in; None for acts outside any (tracking, people).
        solo: the use case was declared to be run by one person alone.

    Returns:
        The verdict; its reason names the roles that would do.
    """
    if permission in (Permission.PUBLIC, Permission.SIGN_IN):
        return Verdict(allowed=True, reason="open to everybody")
    if principal.kind is PrincipalKind.NOBODY:
        return Verdict(allowed=False, reason="sign in first")
    if principal.kind is PrincipalKind.LOCAL:
        if permission in LOCAL_MAY_NEVER and not solo:
            return Verdict(
                allowed=False,
                reason="the unauthenticated local user cannot approve; sign in as a person, "
                "or declare the use case solo if you really work alone",
            )
        return Verdict(allowed=True, reason="local user on loopback")
    if principal.kind is PrincipalKind.SERVICE and permission in MACHINE_MAY_NEVER:
        return Verdict(allowed=False, reason=f"{permission} is for people, not for service accounts")
    wanted = GRANTS[permission]
    held = principal.roles_in(use_case)
    if held & wanted:
        return Verdict(allowed=True, reason="holds " + ", ".join(sorted(held & wanted)))
    if permission is Permission.READ and principal.kind in (PrincipalKind.PERSON, PrincipalKind.SERVICE):
        return Verdict(allowed=True, reason="everybody with an account may look")
    where = f" in {use_case}" if use_case else ""
    roles = ", ".join(sorted(wanted))
    return Verdict(allowed=False, reason=f"needs one of: {roles}{where} (given with: stile member add NAME ROLE)")
