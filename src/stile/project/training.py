"""The steps that run the team's own script: train, evaluate, scenarios.

The script is any program. It finds the tables in ``.stile/tables``, logs and registers its
candidates through the MLflow protocol, and tells about each in ``.stile/candidates/NAME.json``:

    {"name": "forest", "version": 3, "run_id": "...", "trained_on": ".stile/tables/train.csv"}

Asked to score tables, it writes ``.stile/predictions/NAME/TABLE.csv`` with the columns ``row``,
``y_true``, ``score`` (and slice columns), and may write ``.stile/predictions/NAME/latency.json``:
a list of milliseconds, one per single-row prediction.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from stile.data.table import parse_csv
from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Invalid, Missing, StileError
from stile.project.chain import Progress, Walk
from stile.project.manifest import Project
from stile.project.prepare import read_rows, tables, write_rows
from stile.project.recording import record
from stile.project.scenarios import Scenario, read_scenarios, transform


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What train.py says about one candidate."""

    name: str
    version: int
    run_id: str = ""
    trained_on: str = ".stile/tables/train.csv"
    features: list[str] | None = None
    threshold: float | None = None


def candidates(project: Project) -> list[Candidate]:
    """The candidates of the last training, by version.

    Raises:
        Invalid: train.py left none, or a file cannot be read.
    """
    found = []
    for file in sorted((project.work / "candidates").glob("*.json")):
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=Candidate))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Invalid(f".stile/candidates/{file.name} cannot be read: {error}.") from error
    if not found:
        raise Invalid("Training left no candidate: train.py must write .stile/candidates/NAME.json for each.")
    return sorted(found, key=lambda candidate: candidate.version)


def train_inputs(walk: Walk) -> dict[str, Any]:
    """What training depends on: its table, its code, its command."""
    described = walk.project.manifest.train
    return {
        "data": walk.result("contract")["datasets"]["train"]["digest"],
        "code": [[name, digest_bytes(walk.project.path(name).read_bytes())] for name in described.watch],
        "command": described.command,
    }


def train(walk: Walk, progress: Progress) -> dict[str, Any]:
    """Run the training command; returns the candidates it registered."""
    shutil.rmtree(walk.project.work / "candidates", ignore_errors=True)
    (walk.project.work / "candidates").mkdir(parents=True)
    run_script(walk, walk.project.manifest.train.command, "train", progress)
    made = candidates(walk.project)
    record(
        walk.client.session,
        sorted({candidate.run_id for candidate in made if candidate.run_id}),
        walk.project.folder,
        walk.project.manifest.train.command,
        use_case=walk.project.name,
        datasets={part: kept["digest"] for part, kept in walk.result("contract")["datasets"].items()},
    )
    says = ", ".join(f"{candidate.name} is v{candidate.version}" for candidate in made)
    return {"says": says, "candidates": [msgspec.to_builtins(candidate) for candidate in made]}


def evaluate_inputs(walk: Walk) -> dict[str, Any]:
    """What scoring the test table depends on."""
    return {
        "candidates": walk.result("train")["candidates"],
        "test": walk.result("contract")["datasets"]["test"]["digest"],
        "command": walk.project.manifest.train.score,
    }


def evaluate(walk: Walk, progress: Progress) -> dict[str, Any]:
    """Have every candidate score the test table, and on the way the scenarios' tables: models load only once."""
    shutil.rmtree(walk.project.work / "predictions", ignore_errors=True)
    table = tables(walk.project) / "test.csv"
    answer(walk, [table, *_scenario_tables(walk)], "evaluate", progress)
    scored = answers(walk.project, [table])
    return {"says": f"{len(scored)} candidates scored the test rows", "predictions": scored}


def scenario_inputs(walk: Walk) -> dict[str, Any]:
    """What the scenarios depend on."""
    text = walk.project.text(walk.project.manifest.scenarios)
    return evaluate_inputs(walk) | {"scenarios": digest_bytes(text.encode())}


def scenarios(walk: Walk, progress: Progress) -> dict[str, Any]:
    """Change the test table as each scenario says and have every candidate score the result."""
    wanted = read_scenarios(walk.project.text(walk.project.manifest.scenarios))
    if not wanted:
        return {"says": "no scenarios", "predictions": {}, "scenarios": {}}
    files = write_scenarios(walk.project, wanted)
    answer(walk, files, "scenarios", progress)
    scored = answers(walk.project, files)
    said = {scenario.name: scenario.says for scenario in wanted}
    return {"says": ", ".join(said), "predictions": scored, "scenarios": said}


def write_scenarios(project: Project, wanted: list[Scenario]) -> list[Path]:
    """The changed test tables as files, each row under the name it has in the test table."""
    rows, test = read_rows(tables(project) / "test.csv")
    _, train_part = read_rows(tables(project) / "train.csv")
    files = []
    for scenario in wanted:
        file = tables(project) / f"scenario-{scenario.name}.csv"
        write_rows(file, transform(scenario, test, train_part), rows)
        files.append(file)
    return files


def answer(walk: Walk, files: list[Path], step: str, progress: Progress) -> None:
    """Have every candidate score the tables it has not scored yet."""
    project = walk.project
    open_files = [file for file in files if any(not _answered(project, one, file) for one in candidates(project))]
    if not open_files:
        return
    command = [*project.manifest.train.score, *(str(file.relative_to(project.folder)) for file in open_files)]
    run_script(walk, command, step, progress)
    for candidate in candidates(project):
        for file in open_files:
            if predictions_file(project, candidate.name, file.stem).is_file():
                _mark(project, candidate, file).write_text(_question(candidate, file))


def answers(project: Project, files: list[Path]) -> dict[str, dict[str, str]]:
    """The digests of every candidate's predictions on the tables, by candidate and table.

    Raises:
        Invalid: a candidate left out a table or a row, or gave a score outside 0..1.
    """
    found: dict[str, dict[str, str]] = {}
    for candidate in candidates(project):
        for file in files:
            written = predictions_file(project, candidate.name, file.stem)
            check_predictions(written, file, candidate.name)
            found.setdefault(candidate.name, {})[file.stem] = digest_bytes(written.read_bytes())
    return found


def _scenario_tables(walk: Walk) -> list[Path]:
    """The scenarios' tables; none when scenarios.yaml cannot be used, which its own step then says."""
    try:
        return write_scenarios(walk.project, read_scenarios(walk.project.text(walk.project.manifest.scenarios)))
    except (Invalid, Missing):
        return []


def _answered(project: Project, candidate: Candidate, file: Path) -> bool:
    mark = _mark(project, candidate, file)
    return mark.is_file() and mark.read_text() == _question(candidate, file)


def _question(candidate: Candidate, file: Path) -> str:
    return f"{digest_bytes(file.read_bytes())} by version {candidate.version}"


def _mark(project: Project, candidate: Candidate, file: Path) -> Path:
    return predictions_file(project, candidate.name, file.stem).with_suffix(".of")


def predictions_file(project: Project, candidate: str, table: str) -> Path:
    """Where a candidate's predictions on a table are written."""
    return project.work / "predictions" / candidate / f"{table}.csv"


def check_predictions(written: Path, asked: Path, candidate: str) -> None:
    """Make sure that a predictions table answers every row that was asked, once, with a usable score.

    Raises:
        Invalid: it does not; says which candidate, table and column.
    """
    where = f"{candidate} on {asked.stem}"
    if not written.is_file():
        raise Invalid(f"{where}: no predictions were written (expected .stile/predictions/{candidate}/{written.name}).")
    answers = parse_csv(written.read_bytes())
    rows, _ = read_rows(asked)
    for column in ("row", "y_true"):
        if column not in answers:
            raise Invalid(f"{where}: the predictions have no column {column!r}.")
    if "score" not in answers and "y_pred" not in answers:
        raise Invalid(f"{where}: the predictions need a column 'score' or 'y_pred'.")
    answered = [str(text) for text in answers.texts("row")]
    if sorted(answered) != sorted(rows):
        missing = len(set(rows) - set(answered))
        raise Invalid(f"{where}: {len(rows)} rows were asked and {len(answered)} answered; {missing} have no answer.")
    if "score" in answers:
        scores = answers.numbers("score")
        wrong = [value for value in scores.tolist() if not 0.0 <= value <= 1.0]
        if wrong:
            raise Invalid(f"{where}: a score is a probability between 0 and 1; {len(wrong)} are not (e.g. {wrong[0]}).")


def run_script(walk: Walk, command: list[str], step: str, progress: Progress) -> None:
    """Run one of the project's commands in its folder; its lines go to the progress and to a log.

    Raises:
        StileError: it failed or took too long; the message ends with its last lines.
    """
    if not command:
        raise Invalid("stile.toml gives an empty command.")
    log = walk.project.work / "logs" / f"{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, *command[1:]] if command[0] in ("python", "python3") else command
    progress(0.05, f"starting {' '.join(command[:3])}")
    try:
        process = subprocess.Popen(  # noqa: S603 - the team's own command, from its own stile.toml
            words, cwd=walk.project.folder, env=environment(walk), text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Invalid(f"The program {command[0]!r} of stile.toml was not found.") from error
    with process:
        code, tail, expired = _follow(process, log, walk.project.manifest.train.timeout_s, progress)
    if expired:
        raise StileError(
            f"{' '.join(command)} took longer than train.timeout_s in stile.toml. See .stile/logs/{log.name}"
        )
    if code:
        last = "\n    ".join(tail) or "it printed nothing"
        raise StileError(f"{' '.join(command)} failed (exit code {code}). See .stile/logs/{log.name}\n    {last}")


def _follow(
    process: subprocess.Popen[str], log: Path, timeout_s: float, progress: Progress
) -> tuple[int, list[str], bool]:
    """Read a process to its end: its exit code, its last lines, and whether it was ended for taking too long."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(timeout_s, expire)
    timer.start()
    tail: list[str] = []
    try:
        with log.open("w", encoding="utf-8") as out:
            for line in process.stdout or ():
                out.write(line)
                if line.strip():
                    tail = [*tail[-14:], line.rstrip()]
                    progress(min(0.95, 0.05 + 0.06 * len(tail)), line.strip()[:80])
        return process.wait(), tail, expired.is_set()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()


def environment(walk: Walk) -> dict[str, str]:
    """The environment of the project's commands: where to log, and as whom."""
    token = walk.client.token
    given = {
        "MLFLOW_TRACKING_URI": walk.client.url,
        "MLFLOW_REGISTRY_URI": walk.client.url,
        "STILE_URL": walk.client.url,
        "STILE_USE_CASE": walk.project.name,
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    if token:
        given |= {"MLFLOW_TRACKING_TOKEN": token, "STILE_TOKEN": token}
    return dict(os.environ) | given
