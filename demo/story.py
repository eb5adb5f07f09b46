"""The demonstration: one real model walks over the wall, and is kept honest there.

    python demo/story.py [--data DIR] [--port N] [--once]

Everything is done with public commands and the public SDK, by people with their own tokens, on
real data (see patients.py). Every claim is checked and counted; with --once the process ends with
exit code 0 only when all of them held, without it the server stays up for you to look around.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from pathlib import Path

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the story starts several processes: let the first one help the rest
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet", "OMP_NUM_THREADS": "1"}
for _name in ("STILE_URL", "STILE_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"):
    os.environ.pop(_name, None)  # the people of the story, not whoever starts it

import in_production  # noqa: E402
import pandas as pd  # noqa: E402
import patients  # noqa: E402
import to_production  # noqa: E402
from stage import Stage, free_port, is_free  # noqa: E402


def main() -> int:
    """Tell the story; returns the exit code."""
    words = argparse.ArgumentParser(description="One real model from data to governed production.")
    words.add_argument("--data", type=Path, help="folder of this run (default: a new one)")
    words.add_argument("--port", type=int, default=7070, help="port of the server; 0 takes a free one")
    words.add_argument("--once", action="store_true", help="end after the story; exit code 0 when every check held")
    given = words.parse_args()
    folder = (given.data or Path(tempfile.mkdtemp(prefix="stile-demo-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        words.error(f"{folder} is not empty. The story begins from nothing: give a new folder, or none.")
    if given.port and not is_free(given.port):
        words.error(f"port {given.port} is in use. Choose another: make demo PORT={given.port + 1}")
    os.environ["STILE_CREDENTIALS"] = str(folder / "credentials.toml")
    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    for told_to_stop in (signal.SIGINT, signal.SIGTERM):  # either way, what was started is ended, too
        signal.signal(told_to_stop, signal.default_int_handler)
    stage = Stage(folder, f"http://127.0.0.1:{given.port or free_port()}")
    try:
        passwords = tell(stage)
        finish(stage, passwords, once=given.once)
        if not given.once:
            threading.Event().wait()
    except KeyboardInterrupt:
        stage.say("\nStopped.")
    finally:
        stage.end_all()
    return 1 if stage.failures else 0


def tell(stage: Stage) -> dict[str, str]:
    """The whole story; returns everybody's password."""
    threading.Thread(target=_warm_up, daemon=True).start()
    files = patients.write(stage.folder / "patients")
    project = stage.folder / "early-detection"
    seconds = stage.start_server()
    stage.say(f"Stile is up at {stage.url} after {seconds:.1f} s (data in {stage.data_dir})")
    passwords = to_production.charter(stage, project, files["history"])
    to_production.data(stage, project, files)
    to_production.without_evidence(stage, project)
    to_production.chain(stage, project)
    to_production.verdicts(stage, project)
    champion = to_production.decide(stage, project)
    calm, later = pd.read_csv(files["calm"]), pd.read_csv(files["recalibrated"])
    ward = in_production.Ward(stage)
    before = in_production.serve(stage, ward, calm, champion)
    in_production.swap(stage, ward, project, calm, before)
    moved = in_production.watch(stage, ward, calm, later, before)
    disputed = in_production.listen(stage, moved)
    in_production.prove(stage, disputed, stage.data_dir)
    return passwords


def finish(stage: Stage, passwords: dict[str, str], *, once: bool) -> None:
    """How it ended, and how to go on."""
    held = stage.checks - len(stage.failures)
    stage.console.print()
    stage.console.rule(f"{held} of {stage.checks} checks held, {stage.seconds():.0f} s")
    for failure in stage.failures:
        stage.say(f"  ✗ {failure}")
    if once:
        return
    stage.say(f"Look around at {stage.url}/use-cases/{to_production.USE_CASE}. Sign in as:")
    for name, (display, roles) in to_production.PEOPLE.items():
        stage.say(
            f"  {name:<6} {passwords[name]:<14} {display}, {' and '.join(role.replace('_', ' ') for role in roles)}"
        )
    stage.say("petra is asked whether to keep the version or roll back. Ctrl-C stops everything.")


def _warm_up() -> None:
    """Import what the story needs later, while it does something else."""
    import mlflow.sklearn  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import skops.io  # noqa: F401


if __name__ == "__main__":
    sys.exit(main())
