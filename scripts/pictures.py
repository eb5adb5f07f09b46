"""Take the pictures of the documentation: docs/images/*.png, of the real pages over real content.

    python scripts/pictures.py [--story DIR] [NAME ...]

DIR is the folder of a story that was told to its end (``python demo/story.py --once --data DIR``); without it the
story is told first, which takes about two minutes. To its store a search over 20 small networks is added, trained here
on the same patients with fixed seeds, so that the pictures show the same every time. NAME: only these (gate, runs,
compare). Needs Chromium with its driver (scripts/chromium).
"""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
EXPERIMENT = "malignancy network"
USE_CASE = "early-detection"
WIDTH = 1240
COLOURS = 128
_EPOCHS = 40
_STEP_MS = 9_000
_APART_MS = 2_400_000
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet", "OMP_NUM_THREADS": "1"}


def main() -> int:
    """Take the pictures; returns the exit code."""
    words = argparse.ArgumentParser(description="The pictures of the documentation.")
    words.add_argument("--story", type=Path, help="folder of a story that was told to its end")
    words.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(PICTURES)}")
    given = words.parse_args()
    unknown = sorted(set(given.names) - set(PICTURES))
    if unknown:
        words.error(f"there is no picture {unknown[0]!r}; there are: {', '.join(PICTURES)}")
    with tempfile.TemporaryDirectory(prefix="stile-pictures-") as scratch:
        story = given.story or _told(Path(scratch) / "story")
        shutil.copytree(story / "server", Path(scratch) / "server")
        with _server(Path(scratch) / "server") as url, _browser() as driver:
            runs = _search(url)
            for name in given.names or PICTURES:
                address, height, script = PICTURES[name](runs)
                size = _take(driver, url + address, height, script, IMAGES / f"{name}.png")
                print(f"docs/images/{name}.png: {size // 1024} kB")
    return 0


def _told(folder: Path) -> Path:
    print("Telling the story first, about two minutes")
    command = [sys.executable, "demo/story.py", "--once", "--port", "0", "--data", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  words of our own
    return folder


@contextmanager
def _server(data: Path) -> Iterator[str]:
    """A server on the data, as long as the block lasts."""
    sys.path.insert(0, str(ROOT / "demo"))
    from stage import STILE, free_port

    url = f"http://127.0.0.1:{free_port()}"
    command = [str(STILE), "up", "--data", str(data), "--port", url.rpartition(":")[2]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  words of our own
    try:
        assert process.stdout is not None
        if "ready" not in process.stdout.readline():
            raise SystemExit("The server did not start.")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _search(url: str) -> dict[str, str]:
    """Train a search over small networks by the unmodified client; returns run ids by name."""
    import mlflow
    from mlflow.entities import Metric, Param
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    table, malignant = load_breast_cancer(return_X_y=True)
    parts = train_test_split(table, 1 - malignant, test_size=0.4, random_state=0, stratify=malignant)
    scaler = StandardScaler().fit(parts[0])
    parts[0], parts[1] = scaler.transform(parts[0]), scaler.transform(parts[1])
    client = mlflow.MlflowClient(url)
    experiment = client.create_experiment(EXPERIMENT)
    settings = list(itertools.product((0.0003, 0.001, 0.003, 0.01, 0.03), ("8", "32"), (16, 64)))
    begun = int(time.time() * 1000) - (len(settings) + 1) * _APART_MS
    ids = {}
    for at, (rate, hidden, batch) in enumerate(settings):
        name = f"net-{at:02}"
        start = begun + at * _APART_MS
        run = client.create_run(experiment, start, {"mlflow.user": ("ada", "max")[at % 2]}, run_name=name).info.run_id
        broken = at == 17  # one of them did not come to its end
        metrics = [
            Metric(key, value, start + epoch * _STEP_MS, epoch)
            for epoch, measured in enumerate(_trained(parts, rate, int(hidden), batch, 12 if broken else _EPOCHS))
            for key, value in measured.items()
        ]
        params = {"learning_rate": rate, "hidden": hidden, "batch_size": batch, "features": "standardised", "seed": at}
        client.log_batch(run, metrics, [Param(key, str(value)) for key, value in params.items()])
        client.set_terminated(run, "FAILED" if broken else "FINISHED", metrics[-1].timestamp)
        ids[name] = run
    return ids | {"experiment": experiment}


def _trained(parts: list[Any], rate: float, hidden: int, batch: int, epochs: int) -> Iterator[dict[str, float]]:
    """What is measured after each epoch."""
    import warnings

    from sklearn.metrics import log_loss, recall_score, roc_auc_score
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    seen, unseen, labels, truth = parts
    network = MLPClassifier((hidden,), solver="sgd", learning_rate_init=rate, batch_size=batch, random_state=0)
    for _ in range(epochs):
        network.partial_fit(seen, labels, classes=(0, 1))
        chance = network.predict_proba(unseen)[:, 1]
        yield {
            "train/loss": float(network.loss_), "valid/loss": float(log_loss(truth, chance)),
            "valid/auc": float(roc_auc_score(truth, chance)), "valid/recall": float(recall_score(truth, chance > 0.5)),
        }  # fmt: skip


Picture = tuple[str, int, str]
"""Address, height in pixels, and what is done on the page before the picture is taken."""


def _gate(runs: dict[str, str]) -> Picture:  # noqa: ARG001  of the story alone
    return f"/models/{USE_CASE}/versions/1/gate", 1120, ""


def _runs(runs: dict[str, str]) -> Picture:
    asked = {"filter": "metrics.`valid/auc` > 0.9", "sort": "metrics.`valid/loss` ASC", "baseline": runs["net-05"]}
    opened = "[...document.querySelectorAll('.facets summary')].find((e) => e.innerText.includes('state'))?.click()"
    return f"/experiments/{runs['experiment']}?{urlencode(asked)}", 700, opened


def _compare(runs: dict[str, str]) -> Picture:
    chosen = [("run", runs[f"net-{at:02}"]) for at in (1, 5, 9, 13, 15)]
    return f"/compare?{urlencode([*chosen, ('metric', 'valid/loss')])}", 1080, ""


PICTURES: dict[str, Callable[[dict[str, str]], Picture]] = {"gate": _gate, "runs": _runs, "compare": _compare}


@contextmanager
def _browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        raise SystemExit("Chromium is missing: run scripts/chromium.")
    options = Options()
    options.binary_location = chromium
    for flag in _FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


def _take(driver: Any, url: str, height: int, script: str, file: Path) -> int:
    """Save a picture of a page with few colours; returns its size in bytes."""
    from PIL import Image

    screen = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    light = [{"name": "prefers-color-scheme", "value": "light"}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": light})
    driver.get(url)
    time.sleep(2)  # curves are drawn when they come into view
    if script:
        driver.execute_script(script)
    shown = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    picture = Image.open(io.BytesIO(base64.b64decode(shown))).convert("RGB")
    picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, optimize=True)
    return file.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
