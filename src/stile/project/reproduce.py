"""Do a recorded run again: its commit and changes, its packages, its data, its command; then compare what it measured.

The command runs in a temporary checkout and logs to a throw-away server, so nothing of it gets
into the record or the registry.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stile.client import capture
from stile.client.credentials import Credentials
from stile.client.session import Session, segment
from stile.client.tracking import API
from stile.data.table import parse_csv
from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Invalid, Missing, StileError, Unavailable
from stile.project.prepare import write_with_rows
from stile.project.recording import DATASET_TAG, USE_CASE_TAG
from stile.project.sameness import Comparison, Series, compare

Told = Callable[[str], None]
_MACHINE = "system/"
_PATIENCE_S = 30.0
_PYTHONS = ("python", "python3")
_MOST_NAMED = 5


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to do a run again."""

    run_id: str
    name: str
    commit: str
    folder: str
    command: list[str]
    changes: bytes
    requirements: bytes
    python: str
    use_case: str
    datasets: dict[str, str]
    series: dict[str, Series]
    status: str
    unknown_files: int


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """How it went: metric by metric, and what was not as it was recorded."""

    run_id: str
    metrics: list[Comparison]
    remarks: list[str]

    @property
    def same(self) -> bool:
        """Whether every metric is identical or within tolerance."""
        return all(one.verdict in ("identical", "within tolerance") for one in self.metrics)


def recipe(session: Session, run_id: str, command: list[str] | None = None) -> Recipe:
    """What was recorded with a run.

    Args:
        session: the server with the record.
        run_id: the run.
        command: what to run instead of the recorded command.

    Raises:
        Missing: there is no such run.
        Invalid: too little was recorded; says what.
    """
    run = session.get(f"{API}/runs/get", run_id=run_id)["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
    commit = tags.get(capture.COMMIT_TAG) or tags.get("mlflow.source.git.commit", "")
    words = command or json.loads(tags.get(capture.COMMAND_TAG, "[]"))
    lacking = [name for name, value in (("commit", commit), ("command", words)) if not value]
    if lacking:
        raise Invalid(
            f"The run {run_id} was recorded without its {' and '.join(lacking)}, so it cannot be done again. "
            "Runs of `stile run` and of Client().run inside a git checkout record both; --command gives a command "
            "to a run of another client."
        )
    if why := _not_a_program(words):
        raise Invalid(f"The run {run_id} {why}, which was not recorded. Put it into a file and give --command.")
    if not [one for one in run["data"].get("metrics", []) if not one["key"].startswith(_MACHINE)]:
        raise Invalid(f"The run {run_id} logged no metrics, so there is nothing to compare.")
    difference = tags.get(capture.DIFF_TAG, "none")
    if difference.startswith("too large"):
        raise Invalid(f"The uncommitted changes of the run {run_id} were too large to keep, so its code is not known.")
    return Recipe(
        run_id=run_id, name=run["info"].get("run_name", ""), commit=commit,
        folder=tags.get(capture.FOLDER_TAG, "."), command=words,
        changes=b"" if difference == "none" else _changes(session, run_id, difference),
        requirements=_artifact(session, run_id, capture.REQUIREMENTS_PATH),
        python=tags.get(capture.PYTHON_TAG, ""), use_case=tags.get(USE_CASE_TAG, ""),
        datasets={
            key.removeprefix(DATASET_TAG): digest for key, digest in tags.items() if key.startswith(DATASET_TAG)
        },
        series=_series(session, run), status=run["info"].get("status", ""),
        unknown_files=int(tags.get(capture.UNKNOWN_TAG, 0)),
    )  # fmt: skip


def reproduce(
    session: Session, wanted: Recipe, repository: Path, scratch: Path, *, here: bool, tolerance: float, told: Told
) -> Reproduction:
    """Do the run again in ``scratch`` and compare.

    Args:
        session: the server with the record, and the datasets.
        wanted: what was recorded.
        repository: a git checkout that has the commit.
        scratch: an empty folder.
        here: use the present Python and packages instead of the recorded ones.
        tolerance: largest relative difference of a point that still counts as the same.
        told: called with what is being done.

    Raises:
        Missing: the commit or a dataset version is not there, or the command logged no run.
        StileError: a step failed; the message ends with what it printed last.
    """
    remarks: list[str] = []
    if wanted.status != "FINISHED":
        remarks.append(f"the recorded run is {wanted.status}, so it may have stopped before its end")
    told(f"checking out {wanted.commit[:12]}")
    folder = _checkout(wanted, repository, scratch / "code")
    interpreter = Path(sys.executable)
    running = ".".join(str(part) for part in sys.version_info[:3])
    if wanted.python and wanted.python != running:
        remarks.append(f"recorded with Python {wanted.python}, done again with {running}")
    if here:
        if wanted.requirements and (changed := _changed_packages(wanted)):
            remarks.append(f"the packages installed here are not the recorded ones: {changed}")
        remarks += [
            f"{name} is installed from {repository}, so its present code was used, not that of the commit"
            for name in capture.installed_from(Path(_top(repository)))
        ]
    elif wanted.requirements:
        told("installing the recorded packages")
        interpreter = _environment(wanted.requirements, scratch)
        for line in wanted.requirements.decode().splitlines():
            if line.endswith(capture.FROM_FOLDER):
                remarks.append(f"{line.split()[1]} {capture.FROM_FOLDER}, so it is not installed again")
    else:
        remarks.append("no packages were recorded; the present ones were used")
    for part, digest in wanted.datasets.items():
        told(f"fetching the {part} data")
        _fetch(session, wanted.use_case, digest, folder / ".stile" / "tables" / f"{part}.csv")
    with _throwaway_server(scratch) as again:
        told(f"running {' '.join(wanted.command)}")
        try:
            _run(wanted, folder, interpreter, again)
        except StileError as error:
            raise StileError(f"{error.message}{_perhaps(wanted, remarks, here=here)}") from error
        found = _series(again, _matching(again, wanted))
    return Reproduction(run_id=wanted.run_id, metrics=compare(wanted.series, found, tolerance), remarks=remarks)


def _checkout(wanted: Recipe, repository: Path, target: Path) -> Path:
    """The recorded code as files; returns the folder the command ran in."""
    top = _top(repository)
    if not _said(["git", "-C", str(repository), "cat-file", "-t", f"{wanted.commit}^{{commit}}"], check=False):
        raise Missing(
            f"The commit {wanted.commit[:12]} is not in {top}. Fetch it, or give a checkout that has it with --repo."
        )
    _said(["git", "clone", "-q", "--shared", "--no-checkout", top, str(target)])
    _said(["git", "-C", str(target), "checkout", "-q", "--detach", wanted.commit])
    if wanted.changes:
        patch = target.with_name("changes.patch")
        patch.write_bytes(wanted.changes)
        _said(["git", "-C", str(target), "apply", "--binary", str(patch)])
    folder = (target / wanted.folder).resolve()
    if not folder.is_relative_to(target.resolve()) or not folder.is_dir():
        raise Invalid(f"The recorded folder {wanted.folder!r} is not in the commit.")
    return folder


def _top(repository: Path) -> str:
    top = _said(["git", "-C", str(repository), "rev-parse", "--show-toplevel"], check=False).strip()
    if not top:
        raise Invalid(f"{repository.resolve()} is no git checkout. Go to the one of the run, or give it with --repo.")
    return top


def _not_a_program(command: list[str]) -> str:
    """Why a command does not stand for what was run; nothing when it does."""
    if any("ipykernel" in word or "jupyter" in word for word in command):
        return "was made in a notebook"
    if command[0] in _PYTHONS and [word for word in command[1:] if word not in ("-i", "-u", "-B")] in ([], ["-"]):
        return "was typed in or came from standard input"
    return ""


def _perhaps(wanted: Recipe, remarks: list[str], *, here: bool) -> str:
    """What may be behind a command that failed."""
    found = list(remarks)
    if wanted.unknown_files:
        there = "was 1 file" if wanted.unknown_files == 1 else f"were {wanted.unknown_files} files"
        found.append(f"there {there} that git did not know when the run was recorded; commit what a run needs")
    if not here and wanted.requirements:
        found.append("the recorded packages were installed from an index; --here uses the present ones instead")
    return "".join(f"\n  Note: {one}." for one in found)


def _changed_packages(wanted: Recipe) -> str:
    """The first recorded packages that are not here as recorded, and how many are here besides; may be empty."""
    before, now = (_versions(text) for text in (wanted.requirements, _installed()))
    other = [
        f"{name} {now.get(name, 'is missing')} (recorded: {version})"
        for name, version in sorted(before.items())
        if now.get(name) != version
    ]
    said = other[:_MOST_NAMED]
    if len(other) > _MOST_NAMED:
        said.append(f"{len(other) - _MOST_NAMED} more")
    if more := len(now.keys() - before.keys()):
        said.append(f"{more} that were not there then")
    return ", ".join(said)


def _versions(requirements: bytes) -> dict[str, str]:
    lines = (line.removeprefix("# ").partition(" ")[0] for line in requirements.decode().splitlines())
    return dict(line.split("==", 1) for line in lines if "==" in line)


def _environment(requirements: bytes, scratch: Path) -> Path:
    file = scratch / "requirements.txt"
    file.write_bytes(requirements)
    _said([sys.executable, "-m", "venv", str(scratch / "venv")])
    interpreter = scratch / "venv" / "bin" / "python"
    _said([str(interpreter), "-m", "pip", "install", "-q", "--no-deps", "-r", str(file)])
    return interpreter


def _fetch(session: Session, use_case: str, digest: str, file: Path) -> None:
    listed = session.get(f"/api/v1/use-cases/{segment(use_case)}/datasets")["datasets"]
    found = next((one for one in listed if one["digest"] == digest), None)
    if found is None:
        raise Missing(f"The dataset version {digest[:19]} of {use_case} is not on the server any more.")
    write_with_rows(file, parse_csv(session.download(f"/api/v1/blobs/{segment(found['table'])}")))


def _run(wanted: Recipe, folder: Path, interpreter: Path, again: Session) -> None:
    words = [str(interpreter), *wanted.command[1:]] if wanted.command[0] in _PYTHONS else wanted.command
    (folder / ".stile" / "candidates").mkdir(parents=True, exist_ok=True)
    told = {
        "MLFLOW_TRACKING_URI": again.url, "MLFLOW_REGISTRY_URI": again.url, "STILE_URL": again.url, "STILE_TOKEN": "",
        "STILE_USE_CASE": wanted.use_case, "PYTHONUNBUFFERED": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_TOKEN"}
    _said(words, folder=folder, environ=kept | told)


def _matching(again: Session, wanted: Recipe) -> dict[str, Any]:
    """The run of the command that stands for the recorded one: of the same name, or the only one."""
    experiments = again.post(f"{API}/experiments/search", {"max_results": 1000})["experiments"]
    ids = [one["experiment_id"] for one in experiments]
    found = again.post(f"{API}/runs/search", {"experiment_ids": ids, "max_results": 1000}).get("runs", [])
    named = [run for run in found if run["info"].get("run_name") == wanted.name] or (found if len(found) == 1 else [])
    if not found:
        raise Missing(
            "The command logged nothing to the throw-away server that MLFLOW_TRACKING_URI and STILE_URL name. If it "
            "chooses a server itself (mlflow.set_tracking_uri, Client(url)), it has logged there: take that out and "
            "try again."
        )
    if not named:
        raise Missing(f"The command logged {len(found)} runs, none of them called {wanted.name!r}.")
    match: dict[str, Any] = named[-1]
    return match


def _series(session: Session, run: Mapping[str, Any]) -> dict[str, Series]:
    """Every metric of a run with all its points, the machine's state left out."""
    found: dict[str, Series] = {}
    for metric in run["data"].get("metrics", []):
        key, points, token = metric["key"], [], ""
        if key.startswith(_MACHINE):
            continue
        while True:
            page = session.get(
                f"{API}/metrics/get-history", run_id=run["info"]["run_id"], metric_key=key, max_results=25_000,
                page_token=token,
            )  # fmt: skip
            points += [(int(point.get("step", 0)), float(point["value"])) for point in page.get("metrics", [])]
            token = page.get("next_page_token") or ""
            if not token:
                break
        found[key] = sorted(points, key=lambda point: point[0])
    return found


def _artifact(session: Session, run_id: str, path: str) -> bytes:
    try:
        return session.download(f"/get-artifact?run_uuid={segment(run_id)}&path={segment(path)}")
    except Missing:
        return b""


def _changes(session: Session, run_id: str, digest: str) -> bytes:
    """The uncommitted changes, exactly as they were recorded."""
    found = _artifact(session, run_id, capture.DIFF_PATH)
    if digest_bytes(found) != digest:
        what = "were changed after they were recorded" if found else "are gone"
        raise Invalid(
            f"The uncommitted changes of the run {run_id} ({capture.DIFF_PATH}) {what}, so its code is not known."
        )
    return found


def _installed() -> bytes:
    return capture.environment().files[capture.REQUIREMENTS_PATH]


@contextmanager
def _throwaway_server(scratch: Path) -> Iterator[Session]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = "import sys; from stile.cli import main; sys.argv[0] = 'stile'; main()"
    words = [sys.executable, "-c", start, "up", "--port", str(port), "--data", str(scratch / "server")]
    session = Session(Credentials(url=f"http://127.0.0.1:{port}"))
    with (scratch / "server.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)  # noqa: S603  our own command
    try:
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            try:
                session.download("/health")
                break
            except Unavailable:
                if process.poll() is not None or time.monotonic() > give_up_at:
                    raise StileError("The throw-away server for the new run did not start.") from None
                time.sleep(0.05)
        yield session
    finally:
        session.close()
        process.terminate()
        process.wait()


def _said(
    words: list[str], *, folder: Path | None = None, environ: dict[str, str] | None = None, check: bool = True
) -> str:
    """Run a program; what it printed. Empty when it failed and ``check`` is off."""
    try:
        done = subprocess.run(  # noqa: S603  git, pip, and the command the user asks to run again
            words, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise Invalid(f"The program {words[0]!r} was not found.") from None
    if done.returncode == 0:
        return done.stdout
    if not check:
        return ""
    last = "\n    ".join(done.stdout.splitlines()[-15:]) or "it printed nothing"
    raise StileError(f"{' '.join(words)[:200]} failed (exit code {done.returncode}):\n    {last}")
