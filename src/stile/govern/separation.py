"""Whose yes counts: approvals bound to digests, separation of duties. Pure; asked again by the deciding transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from stile.kernel.canonical import digest_of, short
from stile.kernel.permission import Principal, PrincipalKind

LOCAL_PERSON = "local-user"

VoteVerdict = Literal["yes", "no"]
NeedState = Literal["yes", "no", "waiting"]


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What a yes or no is about, byte for byte. When any part changes, the approval lapses."""

    model: str
    data: str
    policy: str
    evidence: str
    environment: str = ""

    @property
    def digest(self) -> str:
        """``sha256:...`` of the whole."""
        return digest_of(self)

    def changed(self, other: Binding) -> list[str]:
        """The parts that differ from ``other``."""
        return [part for part in self.__struct_fields__ if getattr(self, part) != getattr(other, part)]


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One yes or no, as given. Never changed; a later one of the same person in the same role takes its place.

    Attributes:
        credential_by: who handed out the credential it was given with, when that was somebody else.
    """

    id: str
    promotion: str
    role: str
    person: str
    verdict: VoteVerdict
    reason: str
    at: int
    over: Binding
    solo: bool = False
    credential_by: str = ""


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """A person's latest word in a role, and whether it counts now."""

    person: str
    verdict: VoteVerdict
    reason: str
    at: int
    over: str
    counts: bool
    why_not: str = ""
    solo: bool = False
    credential_by: str = ""


class ApprovalState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one required approval stands.

    Attributes:
        role, quorum: who must say yes, and how many.
        state: ``yes`` (enough), ``no`` (somebody said no), ``waiting``.
        votes: the latest word of each person, counting or not.
        people: who could still say yes.
        sentence: the same in words.
    """

    role: str
    quorum: int
    state: NeedState
    votes: list[Vote]
    people: list[str]
    sentence: str


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds which role in the use case, and whether one person works alone."""

    roles: dict[str, list[str]] = {}  # role -> people
    solo: bool = False

    def holds(self, person: str, role: str) -> bool:
        """Whether the person holds the role (alone, everybody holds every role)."""
        return (self.solo and person == LOCAL_PERSON) or person in self.roles.get(role, [])


def refusal(
    person: Principal, role: str, team: Team, authors: Collection[str], given: Sequence[ApprovalState]
) -> str | None:
    """Why this person's word may not be taken in this role; None when it may."""
    if person.kind in (PrincipalKind.SERVICE, PrincipalKind.NOBODY):
        return "approvals are given by people; service accounts may register and propose only"
    if person.kind is PrincipalKind.LOCAL and not team.solo:
        return (
            "the unauthenticated local user cannot approve; sign in as a person, "
            "or declare the use case solo if you really work alone"
        )
    if not team.holds(person.name, role):
        holders = ", ".join(team.roles.get(role, [])) or "nobody yet"
        return f"{person.name} does not hold the role {role} in this use case (it is held by: {holders})"
    if person.name in authors and not team.solo:
        return f"{person.name} trained, registered or proposed this version, and nobody approves their own work"
    if not team.solo:
        for state in given:
            if state.role != role and any(
                v.person == person.name and v.counts and v.verdict == "yes" for v in state.votes
            ):
                return f"{person.name} has already approved as {state.role}; different roles need different people"
    return None


def approval_states(
    needs: Sequence[tuple[str, int]],
    approvals: Sequence[Approval],
    binding: Binding,
    team: Team,
    authors: Collection[str],
) -> list[ApprovalState]:
    """Where every required approval stands now.

    Args:
        needs: (role, quorum) of each approval the policy asks for.
        approvals: everything said so far, oldest first.
        binding: the digests as they are now; what was said over others has lapsed.
        team: roles as they are now.
        authors: people whose yes never counts for this version.
    """
    latest: dict[tuple[str, str], Approval] = {}
    for approval in approvals:
        latest[(approval.role, approval.person)] = approval
    used: set[str] = set()
    states = []
    for role, quorum in needs:
        votes = []
        for (given_role, _), approval in latest.items():
            if given_role == role:
                votes.append(_vote(approval, binding, team, authors, used))
        used.update(vote.person for vote in votes if vote.counts and vote.verdict == "yes")
        possible = [p for p in team.roles.get(role, []) if team.solo or (p not in authors and p not in used)]
        if team.solo and LOCAL_PERSON not in possible:
            possible.append(LOCAL_PERSON)
        states.append(_state(role, quorum, votes, possible))
    return states


def _vote(approval: Approval, binding: Binding, team: Team, authors: Collection[str], used: Collection[str]) -> Vote:
    why_not = ""
    changed = approval.over.changed(binding)
    if changed:
        why_not = "lapsed: " + ", ".join(
            f"{part} changed from {short(getattr(approval.over, part))} to {short(getattr(binding, part))}"
            for part in changed
        )
    elif not team.holds(approval.person, approval.role):
        why_not = f"no longer holds the role {approval.role}"
    elif not team.solo and approval.person in authors:
        why_not = "trained, registered or proposed this version"
    elif not team.solo and approval.person in used:
        why_not = "already counts in another role"
    return Vote(
        person=approval.person, verdict=approval.verdict, reason=approval.reason, at=approval.at,
        over=approval.over.digest, counts=not why_not, why_not=why_not, solo=approval.solo,
        credential_by=approval.credential_by,
    )  # fmt: skip


def _state(role: str, quorum: int, votes: list[Vote], possible: list[str]) -> ApprovalState:
    counting = [vote for vote in votes if vote.counts]
    noes = [vote for vote in counting if vote.verdict == "no"]
    yeses = [vote for vote in counting if vote.verdict == "yes"]
    state: NeedState
    if noes:
        state, sentence = "no", f"{role}: {noes[0].person} said no" + (f": {noes[0].reason}" if noes[0].reason else "")
    elif len(yeses) >= quorum:
        state, sentence = "yes", f"{role}: {', '.join(vote.person for vote in yeses)} said yes"
    else:
        who = ", ".join(possible) or "a member in this role (nobody but the author holds it yet)"
        missing = quorum - len(yeses)
        count = f"{missing} of {quorum} still " if quorum > 1 else ""
        state, sentence = "waiting", f"{role}: {count}waiting for {who}"
        lapsed = [vote for vote in votes if vote.why_not.startswith("lapsed")]
        if lapsed:
            sentence += f" (the word of {', '.join(vote.person for vote in lapsed)} has {lapsed[0].why_not})"
    return ApprovalState(role=role, quorum=quorum, state=state, votes=votes, people=possible, sentence=sentence)
