"""Which metrics a policy speaks of, in the order in which it does."""

from __future__ import annotations

import re

from stile.govern import policy_records
from stile.govern.policy import Policy
from stile.store.database import Tx

_METRIC = re.compile(r"""(?:metric|ci_low|ci_high|better)\(\s*(?:metric\(\s*)?["']([\w.-]+)["']""")
_SLICE_METRIC = re.compile(r"\bs\.([A-Za-z_]\w*)")
_OF_A_SLICE = frozenset({"n", "positives", "name", "value"})


def metrics_of(policy: Policy) -> list[str]:
    """Metric names in a policy's rules, then in its choice, each once."""
    found: list[str] = []
    for source in [*(rule.rule for rule in policy.require), *policy.choose, *(rule.rule for rule in policy.warn)]:
        found += _METRIC.findall(source)
        found += [name for name in _SLICE_METRIC.findall(source) if name not in _OF_A_SLICE]
    return list(dict.fromkeys(found))


def asked_for(tx: Tx, use_case: str) -> list[str]:
    """The metrics the policy in force of a use case speaks of; none when there is no such use case or policy."""
    published = policy_records.newest(tx, use_case)
    return metrics_of(published.policy) if published else []


def models_of_runs(tx: Tx, run_ids: list[str]) -> list[str]:
    """Names of the models that versions were registered under from these runs."""
    if not run_ids:
        return []
    rows = tx.all(
        "SELECT DISTINCT m.name FROM model_versions v JOIN registered_models m ON m.id = v.model "
        f"WHERE v.run_id IN ({', '.join('?' * len(run_ids))}) ORDER BY m.name",
        run_ids,
    )
    return [row[0] for row in rows]
