"""What the people of the story change by hand in the files that ``stile init`` wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

HERE = Path(__file__).parent / "early-detection"

CHARTER = {
    "title": "Early detection of breast cancer",
    "problem": "Two hospitals read every fine-needle image by eye; malignant ones wait as long as others.",
    "decision": "Which patients are examined first",
    "users": "Physicians in Basel and Cleveland",
    "kpi": "Days from image to biopsy for malignant tumours",
    "tier": "medium",
}
HARMS = ["A malignant tumour is put at the end of the queue", "A healthy patient is sent to a biopsy without need"]


def edit_charter(project: Path) -> None:
    """The product manager fills in the charter."""
    file = project / "stile.toml"
    text = file.read_text(encoding="utf-8")
    for name, value in CHARTER.items():
        text = _set(text, name, f'"{value}"')
    text = _set(text, "test_ratio", "0.4")  # few patients: a larger test part makes narrower intervals
    text = _set(text, "harms", "[" + ", ".join(f'"{harm}"' for harm in HARMS) + "]")
    file.write_text(text, encoding="utf-8")


def edit_contract(project: Path) -> None:
    """The data engineer corrects what no table can tell: what is physically possible, and what columns mean."""
    file = project / "contract.odcs.yaml"
    contract = yaml.safe_load(file.read_text(encoding="utf-8"))
    for column in contract["schema"][0]["properties"]:
        if column["name"].endswith(("_radius", "_perimeter", "_area")):
            options = column.setdefault("logicalTypeOptions", {})
            options["minimum"] = 0.1  # a cell has a size
            options.pop("maximum", None)  # there is no largest tumour
        if column["name"] == "mean_radius":
            column["description"] = "Mean distance from the centre of the nucleus to its edge"
    file.write_text(yaml.safe_dump(contract, sort_keys=False, allow_unicode=True), encoding="utf-8")


def edit_policy_and_scenarios(project: Path) -> None:
    """Product manager and physicians write their own rules and their own question."""
    for name in ("policy.yaml", "scenarios.yaml"):
        shutil.copy(HERE / name, project / name)


def edit_training(project: Path) -> None:
    """The data scientist writes other candidates and moves the threshold: a miss is worse than an alarm."""
    file = project / "train.py"
    text = file.read_text(encoding="utf-8")
    start, end = text.index("def candidates():"), text.index("def fit():")
    text = text[:start] + (HERE / "candidates.part").read_text(encoding="utf-8") + text[end:]
    text = text.replace("THRESHOLD = 0.5", "THRESHOLD = 0.22")
    text = text.replace(
        "from sklearn.ensemble", "from sklearn.compose import make_column_transformer\nfrom sklearn.ensemble", 1
    )
    file.write_text(text, encoding="utf-8")


def _set(text: str, name: str, value: str) -> str:
    """Replace the value of one name in a TOML text, keeping the comment behind it."""
    lines = text.splitlines()
    for place, line in enumerate(lines):
        if line.startswith(f"{name} ="):
            _, hash_, comment = line.partition("#")
            lines[place] = f"{name} = {value}" + (f"  # {comment.strip()}" if hash_ else "")
            return "\n".join(lines) + "\n"
    raise ValueError(f"there is no {name} in this text")
