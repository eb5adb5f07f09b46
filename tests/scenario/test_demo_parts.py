"""The demonstration's patients and edits follow the rules they state."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from stile.data.contract_check import check_table
from stile.data.odcs import read_contract
from stile.data.table import parse_csv
from stile.govern.policy import parse_policy
from stile.project.manifest import open_project
from stile.project.scaffold import Wish, scaffold
from stile.project.scenarios import read_scenarios

sys.path.insert(0, str(Path(__file__).parent))
from story_parts import part


@pytest.fixture(scope="module")
def patients():
    return part("patients")


def test_every_patient_appears_once_at_one_of_two_sites(patients):
    history, calm, later = patients.parts()
    assert len(history) + len(calm) + len(later) == 569
    assert set(history["site"]) == set(patients.SITES)
    assert sorted(len(part) for part in (history, calm, later)) == [142, 151, 276]


def test_recalibration_changes_lengths_and_areas_of_one_site_only(patients):
    before = patients.all_patients().drop(columns="_part")
    after = patients.recalibrated(before)
    changed = {name for name in before.columns if not before[name].equals(after[name])}
    assert changed == {n for n in before.columns if n.endswith(("_radius", "_perimeter", "_area"))}
    elsewhere = before["site"] != patients.SHIFTED_SITE
    assert before[elsewhere].equals(after[elsewhere])
    there = before["site"] == patients.SHIFTED_SITE
    assert (after["mean_radius"] / before["mean_radius"])[there].round(9).eq(patients.FACTOR).all()
    assert (after["mean_area"] / before["mean_area"])[there].round(9).eq(round(patients.FACTOR**2, 9)).all()


def test_edited_project_is_valid_and_its_contract_refuses_the_bad_table_only(patients, tmp_path):
    edits = part("edits")
    files = patients.write(tmp_path / "patients")
    wish = Wish(name="early-detection", data=files["history"], target="malignant", positive="1", segment="site")
    folder = tmp_path / "project"
    scaffold(wish, folder)
    for edit in (edits.edit_charter, edits.edit_contract, edits.edit_policy_and_scenarios, edits.edit_training):
        edit(folder)
    project = open_project(folder)
    assert project.manifest.use_case.harms == edits.HARMS
    assert tomllib.loads((folder / "stile.toml").read_text())["data"]["test_ratio"] == 0.4
    contract = read_contract(project.text("contract.odcs.yaml"))
    broken = {name: check_table(contract, parse_csv(file.read_bytes())) for name, file in files.items()}
    assert {name: len(broken[name]) for name in ("history", "calm", "bad")} == {"history": 0, "calm": 0, "bad": 3}
    assert parse_policy(project.text("policy.yaml")).scope == ""
    assert [scenario.name for scenario in read_scenarios(project.text("scenarios.yaml"))] == ["texture-sensor-missing"]
    functions = [node.name for node in ast.parse(project.text("train.py")).body if isinstance(node, ast.FunctionDef)]
    assert functions.count("candidates") == 1
    assert "more_data" in functions
