"""What a user gets for a table of their own: init, run, a failure, a resumed run, a verdict. One slow story."""

from __future__ import annotations

import random

import msgspec
import pytest

from stile.cli.outcome import run_command
from stile.cli.root import stile

pytestmark = pytest.mark.slow


def _loans(file):
    random.seed(11)
    lines = ["income,debt,job,region,defaulted"]
    for _ in range(360):
        job, region = random.choice(["nurse", "driver", "clerk"]), random.choice(["north", "south"])
        income, debt = random.gauss(50, 12), random.gauss(20, 8)
        risky = debt - 0.5 * income + (6 if job == "driver" else 0) + random.gauss(0, 4) > -3
        lines.append(f"{income:.1f},{debt:.1f},{job},{region},{'yes' if risky else 'no'}")
    file.write_text("\n".join(lines) + "\n")
    return file


def _endings(capsys, *words):
    code = run_command(stile, ["run", "--json", *words])
    out, err = capsys.readouterr()
    return code, msgspec.json.decode(out)["endings"] if code == 0 else {}, err


def test_table_with_words_becomes_judged_candidates_and_a_broken_walk_resumes(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STILE_URL", server.url)
    monkeypatch.setenv("STILE_TOKEN", "")
    table = _loans(tmp_path / "loans.csv")
    assert run_command(stile, ["init", "credit", "--data", str(table), "--target", "defaulted", "--segment", "region",
                               "--into", str(tmp_path / "credit"), "--solo"]) == 0  # fmt: skip
    monkeypatch.chdir(tmp_path / "credit")
    script = tmp_path / "credit" / "train.py"
    good = script.read_text()
    script.write_text("raise SystemExit('the license server is down')\n")
    capsys.readouterr()

    code, _, err = _endings(capsys)
    assert code == 1
    assert "the license server is down" in err
    assert ".stile/logs/train.log" in err

    script.write_text(good)
    code, endings, err = _endings(capsys)
    assert code == 0, err
    assert endings == {
        "contract": "unchanged", "train": "done", "evaluate": "done", "scenarios": "done", "evidence": "done",
        "gate": "done", "labels": "done",
    }  # fmt: skip

    code, endings, _ = _endings(capsys)
    assert [endings[name] for name in ("train", "evaluate", "scenarios", "evidence")] == ["unchanged"] * 4

    junit, summary = tmp_path / "gate.xml", tmp_path / "summary.md"
    code = run_command(stile, ["gate", "--json", "--junit", str(junit), "--summary", str(summary)])
    report = msgspec.json.decode(capsys.readouterr().out)
    assert code == report["exit_code"]
    assert {one["version"] for one in report["candidates"]} == {1, 2}
    assert all(rule["verdict"] != "unknown" for one in report["candidates"] for rule in one["rules"])
    assert "-missing" in junit.read_text()
    assert "## Gate: credit" in summary.read_text()
