"""Canonical bytes, ids, permissions, tokens: the values everything is built from."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.kernel.canonical import canonical_json, digest_of, is_digest
from stile.kernel.clock import FixedClock, iso
from stile.kernel.errors import Invalid
from stile.kernel.ids import RandomIds
from stile.kernel.permission import (
    GRANTS,
    LOCAL_USER,
    NOBODY,
    TEAM_ROLES,
    Permission,
    Principal,
    PrincipalKind,
    Role,
    may,
)
from stile.people.tokens import new_token, well_formed

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(value=st.dictionaries(st.text(max_size=5), json_values, max_size=6))
def test_the_digest_is_the_same_when_keys_come_in_another_order(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(turned)
    assert is_digest(digest_of(value))


@pytest.mark.parametrize("bad", [math.nan, math.inf, [1, -math.inf], {"a": {"b": math.nan}}, object()])
def test_a_value_without_a_json_form_is_refused(bad: object) -> None:
    with pytest.raises(Invalid):
        canonical_json(bad)


def test_ids_sort_by_time_when_made_in_the_same_millisecond() -> None:
    ids = RandomIds(FixedClock())
    made = [ids.ordered("x") for _ in range(200)]
    assert made == sorted(made)
    assert len(set(made)) == 200


def test_times_are_written_in_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"


roles = st.frozensets(st.sampled_from(sorted(TEAM_ROLES)))
permissions = st.sampled_from(sorted(Permission))


@given(held=roles, more=roles, permission=permissions)
def test_more_roles_never_mean_fewer_rights(
    held: frozenset[Role], more: frozenset[Role], permission: Permission
) -> None:
    fewer = Principal(name="a", kind=PrincipalKind.PERSON, team_roles={"x": held})
    richer = Principal(name="a", kind=PrincipalKind.PERSON, team_roles={"x": held | more})
    if may(fewer, permission, "x").allowed:
        assert may(richer, permission, "x").allowed


@given(held=roles, permission=permissions)
def test_roles_in_one_use_case_give_nothing_in_another(held: frozenset[Role], permission: Permission) -> None:
    person = Principal(name="a", kind=PrincipalKind.PERSON, team_roles={"x": held})
    stranger = Principal(name="b", kind=PrincipalKind.PERSON)
    assert may(person, permission, "y").allowed == may(stranger, permission, "y").allowed


@pytest.mark.parametrize("permission", sorted(Permission))
def test_nobody_may_do_nothing_but_come_in(permission: Permission) -> None:
    assert may(NOBODY, permission).allowed is (permission in (Permission.PUBLIC, Permission.SIGN_IN))


def test_approving_is_closed_to_machines_operators_and_the_local_user() -> None:
    every_role = frozenset(Role)
    robot = Principal(name="ci", kind=PrincipalKind.SERVICE, system_roles=every_role, team_roles={"x": every_role})
    operator = Principal(name="root", kind=PrincipalKind.PERSON, system_roles=frozenset({Role.OPERATOR}))
    assert not may(robot, Permission.APPROVE, "x").allowed
    assert not may(operator, Permission.APPROVE, "x").allowed
    assert not may(LOCAL_USER, Permission.APPROVE, "x").allowed
    assert may(LOCAL_USER, Permission.APPROVE, "x", solo=True).allowed


def test_every_permission_is_granted_to_somebody() -> None:
    assert set(GRANTS) == set(Permission)
    assert all(GRANTS.values())


def test_a_mistyped_token_is_told_from_a_wrong_one() -> None:
    token = new_token("person")
    assert well_formed(token)
    assert not well_formed(token[:-1] + ("0" if token[-1] != "0" else "1"))
    assert not well_formed("stile_p_zzz")
    assert not well_formed("")
