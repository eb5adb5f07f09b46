from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from stile.data.contract_check import check_table
from stile.data.odcs import read_contract
from stile.data.table import parse_csv
from stile.govern.policy import parse_policy
from stile.kernel.errors import Exists, Invalid
from stile.project.manifest import open_project
from stile.project.scaffold import Wish, scaffold
from stile.project.scenarios import read_scenarios


def _csv(folder: Path, *, awkward: bool = False) -> Path:
    random.seed(3)
    number, word = ("in\"come, 'net: #1", 'job [x]: "y"') if awkward else ("income", "job")
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in (number, word, "region", "defaulted"))
    rows = [
        f"{random.gauss(5 - 2 * (i % 3 == 0), 1):.3f},{random.choice('ab')},{random.choice(['N', 'S'])},"
        f"{'yes' if i % 3 == 0 else 'no'}"
        for i in range(90)
    ]
    file = folder / "loans.csv"
    file.write_text("\n".join([quoted, *rows]) + "\n")
    return file


@pytest.mark.parametrize("awkward", [False, True])
@pytest.mark.parametrize("segment", ["", "region"])
def test_every_file_written_is_valid_in_its_own_language(tmp_path, awkward, segment):
    wish = Wish(name="credit", data=_csv(tmp_path, awkward=awkward), target="defaulted", segment=segment)
    files = scaffold(wish, tmp_path / "credit")
    assert all((tmp_path / "credit" / file).is_file() for file in files)
    project = open_project(tmp_path / "credit")
    assert project.manifest.use_case.positive == "yes"
    table = parse_csv(project.path(project.manifest.data.table).read_bytes())
    assert check_table(read_contract(project.text("contract.odcs.yaml")), table) == []
    assert parse_policy(project.text("policy.yaml")).policy == "credit"
    (scenario,) = read_scenarios(project.text("scenarios.yaml"))
    assert scenario.change[0].column == table.names[0]
    tree = ast.parse(project.text("train.py"))
    numbers = next(n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "NUMBERS")
    assert ast.literal_eval(numbers) == [table.names[0]]
    assert "${{ secrets.STILE_TOKEN }}" in project.text(".github/workflows/stile.yml")


def test_segment_is_carried_along_but_is_no_feature(tmp_path):
    scaffold(Wish(name="credit", data=_csv(tmp_path), target="defaulted", segment="region"), tmp_path / "p")
    text = (tmp_path / "p" / "train.py").read_text()
    assert 'SLICES = ["region"]' in text
    assert '    "region",\n' not in text


def test_existing_project_is_not_touched(tmp_path):
    wish = Wish(name="credit", data=_csv(tmp_path), target="defaulted")
    scaffold(wish, tmp_path / "p")
    (tmp_path / "p" / "train.py").write_text("mine")
    with pytest.raises(Exists):
        scaffold(wish, tmp_path / "p")
    assert (tmp_path / "p" / "train.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "nope"}, "no column 'nope'. It has: income, job, region, defaulted"),
        ({"target": "income"}, "different values"),
        ({"segment": "nope"}, "no column 'nope'"),
        ({"segment": "defaulted"}, "cannot be the target"),
        ({"positive": "maybe"}, "never 'maybe'; it is one of: no, yes"),
        ({"name": "Credit!"}, "cannot name a use case"),
        ({"data": Path("/nowhere.csv")}, "no file"),
    ],
)
def test_wish_that_cannot_be_met_is_refused_in_words(tmp_path, changes, message):
    wish = Wish(**{"name": "credit", "data": _csv(tmp_path), "target": "defaulted", **changes})
    with pytest.raises(Invalid, match=message):
        scaffold(wish, tmp_path / "p")
    assert not (tmp_path / "p").exists()
