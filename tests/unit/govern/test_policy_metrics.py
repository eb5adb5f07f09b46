"""The metrics a policy speaks of."""

from __future__ import annotations

from stile.govern.policy import parse_policy
from stile.govern.policy_metrics import metrics_of

POLICY = """\
policy: p
require:
  - {id: a, says: A, rule: 'ci_low(metric("recall")) >= 0.8'}
  - {id: b, says: B, rule: 'slices("site").all(s, s.precision >= 0.8)'}
  - {id: c, says: C, rule: 'no_champion() || better("auc").low > 0'}
  - {id: d, says: D, rule: 'evidence("row_overlap").rows == 0'}
warn:
  - {id: e, says: E, rule: 'metric("ece") <= 0.1'}
choose: ['metric("recall")', 'metric("f1")']
"""


def test_metrics_come_in_the_order_of_the_policy() -> None:
    assert metrics_of(parse_policy(POLICY)) == ["recall", "precision", "auc", "f1", "ece"]


def test_policy_without_metrics_has_none() -> None:
    assert metrics_of(parse_policy("policy: p\nrequire:\n  - {id: a, says: A, rule: 'no_champion()'}\n")) == []
