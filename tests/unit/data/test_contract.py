from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stile.data import patterns
from stile.data.contract import Contract, ContractColumn, Violation, check_row
from stile.data.contract_check import check_table
from stile.data.contract_infer import infer_contract
from stile.data.odcs import read_contract, write_contract
from stile.data.table import parse_csv, table_of
from stile.kernel.errors import Invalid

CONTRACT = Contract(
    name="cells",
    columns=[
        ContractColumn(name="id", kind="string", part="key", required=True, unique=True),
        ContractColumn(name="radius", kind="number", required=True, minimum=0, maximum=40),
        ContractColumn(name="count", kind="integer", minimum=1),
        ContractColumn(name="site", kind="string", required=True, allowed=["VA", "VB"]),
        ContractColumn(name="code", kind="string", pattern="[A-Z]{2}", max_length=2),
        ContractColumn(name="seen", kind="date"),
        ContractColumn(name="smoker", kind="boolean"),
        ContractColumn(name="target", kind="integer", part="target", required=True, allowed=["0", "1"]),
    ],
)
GOOD = (
    b"id,radius,count,site,code,seen,smoker,target\n"
    b"a,1.5,2,VA,AB,2024-01-31,true,1\nb,40,,VB,,2024-02-29,false,0\nc,0,7,VA,ZZ,,,1\n"
)


def test_nothing_is_found_when_the_table_keeps_its_contract() -> None:
    assert check_table(CONTRACT, parse_csv(GOOD)) == []


BROKEN = {
    "missing_column": (b"id,radius,count,site,code,seen,smoker\na,1,1,VA,AB,,true\n", "target", 0),
    "extra_column": (
        GOOD.replace(b"target\n", b"target,note\n").replace(b"1\n", b"1,x\n").replace(b",0\n", b",0,x\n"),
        "note",
        0,
    ),
    "wrong_type": (GOOD.replace(b"1.5", b"wide"), "radius", 1),
    "out_of_range": (GOOD.replace(b"40", b"41"), "radius", 1),
    "null_not_allowed": (GOOD.replace(b"VA", b""), "site", 2),
    "unknown_category": (GOOD.replace(b"VB", b"VC"), "site", 1),
    "pattern": (GOOD.replace(b"AB", b"A1"), "code", 1),
    "duplicate_key": (GOOD.replace(b"\nb,", b"\na,"), "id", 2),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_one_clear_violation_is_found_when_one_promise_is_broken(rule: str) -> None:
    content, column, rows = BROKEN[rule]
    found = check_table(CONTRACT, parse_csv(content))
    assert [(v.rule, v.column, v.rows) for v in found] == [(rule, column, rows)]
    assert column in found[0].message
    if rows:
        assert found[0].examples[0].startswith("row ")


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [("count", b",2,VA", b",2.5,VA"), ("seen", b"2024-02-29", b"2023-02-29"), ("smoker", b"true", b"maybe")],
)
def test_type_is_checked_when_values_are_whole_numbers_dates_or_booleans(column: str, old: bytes, new: bytes) -> None:
    found = check_table(CONTRACT, parse_csv(GOOD.replace(old, new)))
    assert [(v.rule, v.column) for v in found] == [("wrong_type", column)]


def test_every_violation_is_listed_when_several_promises_are_broken() -> None:
    bad = GOOD.replace(b"1.5", b"wide").replace(b"40", b"99").replace(b"VB", b"XX").replace(b"\nb,", b"\na,")
    rules = [(v.column, v.rule) for v in check_table(CONTRACT, parse_csv(bad))]
    assert rules == [
        ("id", "duplicate_key"), ("radius", "wrong_type"), ("radius", "out_of_range"), ("site", "unknown_category"),
    ]  # fmt: skip


def test_target_may_be_absent_when_the_data_is_live() -> None:
    live = parse_csv(GOOD).pick(["id", "radius", "count", "site", "code", "seen", "smoker"])
    assert check_table(CONTRACT, live, needs_target=False) == []
    assert check_table(CONTRACT, live)[0].rule == "missing_column"


def test_too_few_rows_are_a_violation() -> None:
    few = msgspec.structs.replace(CONTRACT, min_rows=4)
    assert [v.rule for v in check_table(few, parse_csv(GOOD))] == ["too_few_rows"]


ROW: dict[str, Any] = {"radius": 3.5, "count": 2, "site": "VA", "code": "AB", "seen": "2024-01-01", "smoker": True}


def rules(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(v.column, v.rule) for v in check_row(CONTRACT, row)]


def test_live_row_keeps_the_contract_when_it_has_every_feature() -> None:
    assert rules(ROW) == []
    assert rules(ROW | {"id": "p1"}) == []
    assert rules({k: v for k, v in ROW.items() if k != "count"}) == [], "an optional feature may be absent"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"radius": 41}, ("radius", "out_of_range")),
        ({"radius": "wide"}, ("radius", "wrong_type")),
        ({"radius": float("nan")}, ("radius", "null_not_allowed")),
        ({"radius": True}, ("radius", "wrong_type")),
        ({"count": 2.5}, ("count", "wrong_type")),
        ({"site": None}, ("site", "null_not_allowed")),
        ({"site": "XX"}, ("site", "unknown_category")),
        ({"code": "ab"}, ("code", "pattern")),
        ({"smoker": "perhaps"}, ("smoker", "wrong_type")),
        ({"unheard_of": 1}, ("unheard_of", "extra_column")),
    ],
)
def test_live_row_is_refused_when_it_breaks_one_promise(change: dict[str, Any], expected: tuple[str, str]) -> None:
    assert rules(ROW | change) == [expected]


def test_live_row_is_refused_when_a_required_feature_is_missing() -> None:
    assert rules({k: v for k, v in ROW.items() if k != "radius"}) == [("radius", "missing_column")]


def test_contract_is_the_same_when_written_and_read_back() -> None:
    again = read_contract(write_contract(CONTRACT))
    assert again == CONTRACT
    assert again.digest == CONTRACT.digest


@settings(max_examples=60)
@given(
    st.lists(
        st.builds(
            ContractColumn,
            name=st.text("abcdefgh", min_size=1, max_size=6),
            kind=st.sampled_from(["number", "integer", "string", "boolean", "date", "timestamp"]),
            required=st.booleans(),
            minimum=st.none() | st.floats(-100, 0),
            maximum=st.none() | st.floats(0, 100),
            allowed=st.lists(st.sampled_from(["1", "yes", "0.5", "null", "~", "2024-01-01"]), unique=True),
            says=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda column: column.name,
    )
)
def test_any_contract_survives_its_file_form(columns: list[ContractColumn]) -> None:
    contract = Contract(name="t", columns=columns, says="why: because")
    assert read_contract(write_contract(contract)) == contract


def test_a_contract_written_by_other_tools_is_read() -> None:
    contract = read_contract(
        """
apiVersion: v3.0.2
kind: DataContract
id: 53581432
version: 2.1.0
status: active
servers: [{server: prod, type: postgres}]
description: {purpose: Sales, limitations: none}
schema:
  - name: sales
    physicalType: table
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - name: unit
        logicalType: string
        physicalType: varchar(3)
        quality:
          - {type: text, description: as on the label}
          - {rule: invalidValues, validValues: [kg, 3, true], mustBe: 0}
    quality:
      - {type: library, metric: rowCount, mustBeGreaterThan: 9}
"""
    )
    assert contract.key == "id"
    assert contract.column("unit").allowed == ["kg", "3", "true"]  # type: ignore[union-attr]
    assert contract.min_rows == 10


BASE = "apiVersion: v3.1.0\nkind: DataContract\nschema:\n  - name: t\n    properties:\n      - {name: a"
REFUSED = {
    "[unclosed": "not valid YAML",
    "a: 1": "kind: DataContract",
    "kind: DataContract\napiVersion: v2.2.0": "version 3",
    "kind: DataContract\napiVersion: v3.0.0\nschema: []": "exactly one table",
    BASE + ", logicalType: object}": "cannot be checked",
    BASE + ", logicalTypeOptions: {minimum: low}}": "Expected `float | null`",
    BASE + ", logicalTypeOptions: {pattern: '['}}": "not a regular expression",
    BASE + ", logicalTypeOptions: {minimum: 5, maximum: 1}, logicalType: number}": "above maximum",
    BASE + ", quality: [{metric: nullValues, mustBeLessThan: 5}]}": "cannot be carried out",
    BASE + "}\n      - {name: a}": "twice",
    BASE + ", primaryKey: true}\n      - {name: b, primaryKey: true}": "Only one column can be the key",
    BASE + "}\n    quality: [{type: sql, query: select 1, mustBe: 0}]": "rowCount",
}


@pytest.mark.parametrize("text", REFUSED)
def test_contract_is_refused_when_it_promises_what_cannot_be_checked(text: str) -> None:
    with pytest.raises(Invalid, match=REFUSED[text]):
        read_contract(text)


def test_yaml_cannot_run_code() -> None:
    with pytest.raises(Invalid, match="not valid YAML"):
        read_contract("kind: !!python/object/apply:os.system ['true']")


def test_inferred_contract_is_kept_by_its_table_and_says_something() -> None:
    table = table_of(
        {
            "patient_id": [f"p{i}" for i in range(40)],
            "radius": [6.981 + i * 0.5 for i in range(40)],
            "change": [(-1) ** i * i / 10 for i in range(40)],
            "visits": [i % 13 for i in range(40)],
            "site": ["VA" if i % 3 else "VB" for i in range(40)],
            "note": [None if i == 3 else f"free text {i}" for i in range(40)],
            "seen": [f"2024-01-{i % 28 + 1:02d}" for i in range(40)],
            "target": [i % 2 for i in range(40)],
        }
    )
    contract = infer_contract(table, name="cells", target="target")
    assert check_table(contract, table) == []
    assert contract.key == "patient_id"
    assert contract.target == "target"
    by_name = {column.name: column for column in contract.columns}
    assert by_name["radius"].minimum == 0, "never below zero, so zero is the floor"
    assert 26.5 < by_name["radius"].maximum < 50  # type: ignore[operator]
    assert by_name["change"].minimum < -3.8  # type: ignore[operator]
    assert by_name["visits"].kind == "integer"
    assert by_name["site"].allowed == ["VA", "VB"]
    assert by_name["note"].allowed == []
    assert by_name["note"].required is False
    assert by_name["seen"].kind == "date"
    assert by_name["target"].allowed == ["0", "1"]
    shifted = table.with_column("radius", table.columns["radius"] * 10)
    assert [v.rule for v in check_table(contract, shifted)] == ["out_of_range"]


def test_violation_is_plain_json() -> None:
    violation = check_table(CONTRACT, parse_csv(GOOD.replace(b"40", b"41")))[0]
    assert msgspec.convert(msgspec.to_builtins(violation), Violation) == violation


def test_yaml_aliases_are_refused_so_that_a_small_file_stays_small() -> None:
    bomb = "a: &a [1]\nb: &b [*a, *a]\nkind: DataContract\n"
    with pytest.raises(Invalid, match="alias"):
        read_contract(bomb)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "- " * 100_000 + "x"])
def test_deep_nesting_is_refused_before_it_exhausts_the_stack(text: str) -> None:
    with pytest.raises(Invalid):
        read_contract("kind: DataContract\nschema:\n - " + text)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
PLACES = [
    ("apiVersion",), ("schema",), ("schema", 0), ("schema", 0, "properties"), ("schema", 0, "properties", 0), ("id",),
    ("schema", 0, "properties", 1, "name"), ("schema", 0, "properties", 1, "logicalType"), ("version",),
    ("schema", 0, "properties", 1, "logicalTypeOptions"), ("schema", 0, "properties", 1, "required"), ("description",),
    ("schema", 0, "properties", 1, "logicalTypeOptions", "minimum"), ("schema", 0, "properties", 3, "quality"),
    ("schema", 0, "properties", 3, "quality", 0), ("schema", 0, "properties", 3, "quality", 0, "arguments"),
    ("schema", 0, "properties", 3, "quality", 0, "arguments", "validValues"), ("schema", 0, "quality"),
    ("schema", 0, "quality", 0, "mustBeGreaterOrEqualTo"), ("schema", 0, "properties", 7, "customProperties"),
    ("schema", 0, "properties", 7, "customProperties", 0, "value"), ("customProperties",), ("schema", 0, "name"),
]  # fmt: skip


@settings(max_examples=150)
@given(st.sampled_from(PLACES), junk)
def test_a_bent_contract_is_read_or_refused_but_never_crashes(place: tuple[Any, ...], value: Any) -> None:
    document = yaml.safe_load(write_contract(CONTRACT))
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with contextlib.suppress(Invalid):
        contract = read_contract(yaml.safe_dump(document))
        assert contract.digest
        check_table(contract, parse_csv(GOOD))


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|aa)*b", "((x)*y){2,}", "(?:[a-z]+)*", "a" * 300, "(", "(\\d+,)+"])
def test_pattern_is_refused_when_matching_could_take_forever(pattern: str) -> None:
    with pytest.raises(Invalid):
        patterns.compiled(pattern)


@pytest.mark.parametrize(
    "pattern", ["[A-Z]{2}\\d+", "(kg|lb)", "\\(+a\\)+", "[(+|]+x", "(ab)+", "(19|20)\\d{2}-(0[1-9]|1[0-2])"]
)
def test_pattern_is_accepted_when_its_time_is_bounded(pattern: str) -> None:
    assert patterns.compiled(pattern).pattern == pattern
    assert not patterns.matches(patterns.compiled(".*"), "x" * 2000)


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), float("nan"), 10**400, 2.5, -1, 41, "3", True, None, [1]]
)
def test_live_numbers_are_judged_the_same_when_checked_fast(value: Any) -> None:
    for kind in ("number", "integer"):
        plain = ContractColumn(name="x", kind=kind, required=True, minimum=0, maximum=40)  # type: ignore[arg-type]
        careful = msgspec.structs.replace(plain, pattern=".*")  # a pattern takes the careful way
        found, expected = (check_row(Contract(name="t", columns=[c]), {"x": value}) for c in (plain, careful))
        assert [v.rule for v in found] == [v.rule for v in expected]
