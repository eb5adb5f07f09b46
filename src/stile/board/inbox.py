"""What waits for a person: computed from the records each time, so that nothing in it can be stale.

An item asks for an act of this person: a yes or no, a look at an alert, a word on a prediction,
an answer to a mention, another try of a failed evaluation. It goes away when the act is done, or
when the person marks it as dealt with; an item whose cause changes afterwards comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from stile.board import comment_records, inbox_records
from stile.board.events import InboxChanged
from stile.board.places import card_page, feedback_page, monitor_page, version_page
from stile.deploy import feedback
from stile.govern import policies, promotion_records
from stile.govern.assess import Case, binding_of
from stile.govern.gate import approval_needs
from stile.govern.policy import CompiledPolicy
from stile.govern.promotion_records import PromotionRow
from stile.govern.separation import ApprovalState, approval_states
from stile.govern.snapshot import candidate_of, charter_facts, team_of, version_of
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission, Principal, PrincipalKind, Role, may
from stile.monitor import alert_records
from stile.people import use_cases
from stile.people.use_cases import UseCase
from stile.store.database import Tx
from stile.train import evaluation_records, evidence_records

Kind = Literal["approval", "decision", "alert", "feedback", "mention", "evaluation"]

_RECENT_MS = 14 * 24 * 3_600_000


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that waits.

    Attributes:
        item: stable key, for marking it as dealt with.
        kind: what sort of act is asked for.
        title: what to do, in one line; ``text`` says why.
        role: the role it waits for, if it is a role's business.
        subject: id of the promotion, alert, comment or evaluation; empty for the feedback queue.
        version: the model version it is about, 0 for none.
        url: the page where it is done.
        since: when it began to wait, ms since 1970 UTC.
        age_ms: how long ago that is.
        count: how many single things it stands for.
        done: the person marked it as dealt with.
    """

    item: str
    kind: Kind
    use_case: str
    title: str
    text: str
    url: str
    since: int
    age_ms: int = 0
    role: str = ""
    subject: str = ""
    version: int = 0
    count: int = 1
    done: bool = False


def inbox(tx: Tx, principal: Principal, *, with_done: bool = False) -> list[InboxItem]:
    """What waits for this person, oldest first; with ``with_done`` also what was marked as dealt with."""
    done = inbox_records.done_at(tx, principal.name)
    now = tx.now_ms()
    items = []
    for use_case in use_cases.all_use_cases(tx):
        for item in _of_use_case(tx, principal, use_case):
            marked = done.get(item.item, -1) >= item.since
            if with_done or not marked:
                items.append(msgspec.structs.replace(item, done=marked, age_ms=max(0, now - item.since)))
    for item in _mentions(tx, principal):
        marked = item.item in done
        if with_done or not marked:
            items.append(msgspec.structs.replace(item, done=marked, age_ms=max(0, now - item.since)))
    return sorted(items, key=lambda item: (item.since, item.item))


def mark(tx: Tx, principal: Principal, *, item: str, done: bool) -> None:
    """Mark an item as dealt with, or take the mark back.

    Raises:
        Invalid: nothing of that name is in this person's inbox.
    """
    if item not in {one.item for one in inbox(tx, principal, with_done=True)}:
        raise Invalid(f"There is nothing called {item[:80]!r} in your inbox. Reload it.")
    if done:
        inbox_records.mark_done(tx, principal.name, item)
    else:
        inbox_records.mark_open(tx, principal.name, item)
    tx.emit(InboxChanged(person=principal.name))


def _of_use_case(tx: Tx, principal: Principal, use_case: UseCase) -> Iterator[InboxItem]:
    yield from _approvals(tx, principal, use_case)
    yield from _alerts(tx, principal, use_case)
    yield from _feedback(tx, principal, use_case)
    yield from _evaluations(tx, principal, use_case)


def _approvals(tx: Tx, principal: Principal, use_case: UseCase) -> Iterator[InboxItem]:
    opened = promotion_records.listing(tx, use_case.name, only_open=True)
    compiled = policies.compiled_in_force(tx, use_case.name) if opened else None
    if compiled is None:
        return
    for row in opened:
        for state in _states(tx, use_case, compiled, row):
            if state.state == "waiting" and principal.name in state.people:
                words = state.role.replace("_", " ")
                yield InboxItem(
                    item=f"approval:{row.id}:{state.role}", kind="approval", use_case=use_case.name,
                    title=f"Approve or reject version {row.version} as {words}",
                    text=f"{row.by}: {row.reason}" if row.reason else f"{row.by} proposes it",
                    url=version_page(use_case.name, row.version), since=row.at, role=state.role, subject=row.id,
                    version=row.version,
                )  # fmt: skip


def _states(tx: Tx, use_case: UseCase, compiled: CompiledPolicy, row: PromotionRow) -> list[ApprovalState]:
    """Where each required approval of a request stands now."""
    version = version_of(tx, use_case.name, row.version)
    candidate = candidate_of(tx, version, row.by)
    digest, evidence = "", None
    if version.digest:
        digest, evidence = evidence_records.latest_with_digest(tx, use_case.name, version.digest)
    case = Case(candidate=candidate, evidence=evidence, evidence_digest=digest)
    return approval_states(
        approval_needs(compiled, charter_facts(use_case), candidate),
        promotion_records.approvals(tx, row.id),
        binding_of(case, compiled.digest),
        team_of(tx, use_case),
        candidate.authors,
    )


def _alerts(tx: Tx, principal: Principal, use_case: UseCase) -> Iterator[InboxItem]:
    looks = _is_asked(principal, Permission.MONITOR, use_case)
    decides = _is_asked(principal, Permission.APPLY, use_case)
    for alert in alert_records.unresolved(tx, use_case.name):
        shared = {
            "use_case": use_case.name, "text": alert.finding, "since": alert.raised_at, "subject": alert.id,
            "version": alert.version, "url": monitor_page(use_case.name),
        }  # fmt: skip
        says = alert.says or alert.rule
        if looks and alert.state == "open":
            yield msgspec.convert(
                {"item": f"alert:{alert.id}", "kind": "alert", "title": f"Look into it: {says}", **shared}, InboxItem
            )
        if decides and alert.action == "open_decision":
            title = f"Keep version {alert.version} or roll back: {says}"
            yield msgspec.convert(
                {"item": f"decision:{alert.id}", "kind": "decision", "title": title, **shared}, InboxItem
            )


def _feedback(tx: Tx, principal: Principal, use_case: UseCase) -> Iterator[InboxItem]:
    if Role.DOMAIN_EXPERT not in principal.roles_in(use_case.name) and principal.kind is not PrincipalKind.LOCAL:
        return
    count, oldest = feedback.waiting(tx, use_case.name)
    if count:
        yield InboxItem(
            item=f"feedback:{use_case.name}", kind="feedback", use_case=use_case.name,
            title=f"Say what you think of {count} prediction{'s' if count > 1 else ''}",
            text="Predictions where an expert's word helps most", url=feedback_page(use_case.name), since=oldest,
            role=str(Role.DOMAIN_EXPERT), count=count,
        )  # fmt: skip


def _evaluations(tx: Tx, principal: Principal, use_case: UseCase) -> Iterator[InboxItem]:
    """Failed evaluations the person asked for, unless a later one of the same version went well or is under way."""
    retried: set[int] = set()
    for one in evaluation_records.all_of(tx, use_case.name):
        if one.state != "failed":
            retried.add(one.version)
        elif one.by == principal.name and one.version not in retried and tx.now_ms() - one.changed_at < _RECENT_MS:
            retried.add(one.version)
            yield InboxItem(
                item=f"evaluation:{one.id}", kind="evaluation", use_case=use_case.name,
                title=f"The evaluation of version {one.version} failed", text=one.error,
                url=version_page(use_case.name, one.version), since=one.changed_at, subject=one.id, version=one.version,
            )  # fmt: skip


def _mentions(tx: Tx, principal: Principal) -> Iterator[InboxItem]:
    for mention in comment_records.mentions_of(tx, principal.name):
        yield InboxItem(
            item=f"mention:{mention.comment}", kind="mention", use_case=mention.use_case,
            title=f"{mention.by} mentions you on {mention.card_title!r}", text=mention.text[:300],
            url=card_page(mention.card), since=mention.at, subject=mention.comment,
        )  # fmt: skip


def _is_asked(principal: Principal, permission: Permission, use_case: UseCase) -> bool:
    """Whether it is this person's business: people by their roles, the local user always."""
    if principal.kind not in (PrincipalKind.PERSON, PrincipalKind.LOCAL):
        return False
    return may(principal, permission, use_case.name, solo=use_case.solo).allowed
