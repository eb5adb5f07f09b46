"""The patients of the story: scikit-learn's Wisconsin breast-cancer data, cut by fixed rules.

569 real patients with 30 measurements of cell nuclei. Two things are added, both by rule and
neither at random: the hospital site, and the part of the story in which a patient appears.

* site: two hospitals; a patient belongs to Basel when the digest of the measurements is even,
  else to Cleveland.
* part: 50 % of the patients are history (the team trains and tests on them), the others come
  to the hospitals later, as live traffic: half of them while all is well, half after the imaging
  device in Basel was recalibrated.

The recalibration is the documented shift of the story: the device in Basel reports lengths
30 % larger, so radius and perimeter columns grow by 1.3 and area columns by 1.3 squared.
Nothing else changes, and the truth about each patient stays what it was.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

SITES = ("Basel", "Cleveland")
TARGET = "malignant"
LENGTHS = ("radius", "perimeter")
FACTOR = 1.3
SHIFTED_SITE = "Basel"


def all_patients() -> pd.DataFrame:
    """Every patient: 30 measurements, site, and whether the tumour was malignant (1) or benign (0)."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer(as_frame=True)
    table = bunch.data.rename(columns=lambda name: name.replace(" ", "_"))
    digests = [hashlib.sha256(row.tobytes()).digest() for row in table.to_numpy()]
    table["site"] = [SITES[digest[0] % 2] for digest in digests]
    table[TARGET] = (bunch.target == 0).astype(int)  # the data set calls malignant 0
    table["_part"] = [digest[1] / 256 for digest in digests]
    return table


def parts() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """History, live patients while all is well, live patients after the recalibration (already shifted)."""
    table = all_patients()
    share = table.pop("_part")
    history = table[share < 0.5]
    calm = table[(share >= 0.5) & (share < 0.75)]
    later = recalibrated(table[share >= 0.75])
    return tuple(part.reset_index(drop=True) for part in (history, calm, later))  # type: ignore[return-value]


def recalibrated(table: pd.DataFrame) -> pd.DataFrame:
    """The table as the recalibrated device in one hospital reports it."""
    shifted = table.copy()
    there = shifted["site"] == SHIFTED_SITE
    for column in shifted.columns:
        kind = column.split("_")[-1]
        if kind in LENGTHS:
            shifted.loc[there, column] *= FACTOR
        elif kind == "area":
            shifted.loc[there, column] *= FACTOR**2
    return shifted


def bad_table(history: pd.DataFrame) -> pd.DataFrame:
    """A delivery that went wrong in three ways: a word among numbers, an impossible value, a column left out."""
    bad = history.head(20).copy()
    bad["mean_texture"] = bad["mean_texture"].astype(object)
    bad.loc[3, "mean_texture"] = "n/k"
    bad.loc[5, "mean_radius"] = -4.0
    return bad.drop(columns=["worst_area"])


def write(folder: Path) -> dict[str, Path]:
    """Write the tables of the story; returns their files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    history, calm, later = parts()
    tables = {"history": history, "calm": calm, "recalibrated": later, "bad": bad_table(history)}
    files = {}
    for name, table in tables.items():
        files[name] = folder / f"{name}.csv"
        table.to_csv(files[name], index=False)
    return files


if __name__ == "__main__":
    import sys

    for name, file in write(Path(sys.argv[1] if len(sys.argv) > 1 else "patients")).items():
        print(f"{name:<13} {file}")
