"""Publishing policies: a governed act, pinned by digest and written into the ledger."""

from __future__ import annotations

from stile.govern import policy_records
from stile.govern.events import PolicyPublished
from stile.govern.policy import CompiledPolicy, compile_policy, parse_policy
from stile.govern.policy_records import PublishedPolicy
from stile.kernel.errors import Missing
from stile.people import use_cases
from stile.store import ledger
from stile.store.database import Tx


def publish(tx: Tx, *, use_case: str, yaml: str, by: str) -> PublishedPolicy:
    """Put a policy in force. The policy already in force, published again, stays the same version.

    Raises:
        Missing: no such use case.
        Invalid: the policy cannot be used; the message names each broken rule and key.
    """
    use_cases.get(tx, use_case)
    policy = parse_policy(yaml)
    digest = policy.digest
    newest = policy_records.newest(tx, use_case)
    if newest is not None and newest.digest == digest:
        return newest
    published = PublishedPolicy(
        use_case=use_case, version=newest.version + 1 if newest else 1, digest=digest,
        yaml=yaml, policy=policy, at=tx.now_ms(), by=by,
    )  # fmt: skip
    policy_records.insert(tx, published)
    ledger.append(
        tx, kind="policy_published", use_case=use_case, subject=digest,
        body={"version": published.version, "digest": digest, "policy": policy, "yaml": yaml, "by": by},
    )  # fmt: skip
    tx.emit(PolicyPublished(use_case=use_case, version=published.version, digest=digest, by=by))
    return published


def in_force(tx: Tx, use_case: str) -> PublishedPolicy:
    """The policy in force.

    Raises:
        Missing: none was published.
    """
    found = policy_records.newest(tx, use_case)
    if found is None:
        use_cases.get(tx, use_case)
        raise Missing(f"{use_case} has no policy yet. Publish one: stile run does it, or POST it to .../policies.")
    return found


def compiled_in_force(tx: Tx, use_case: str) -> CompiledPolicy | None:
    """The policy in force, ready to run; None when there is none."""
    found = policy_records.newest(tx, use_case)
    return compile_policy(found.policy) if found else None
