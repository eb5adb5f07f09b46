"""What could not be sent while the server was away: one file for each run and process, until it is sent.

A line is ``["points", series]`` or ``["end", {"status", "end_time"}]``. A point that is sent twice is stored
once, so a file that was sent in part is simply sent again. Whoever writes a file holds a lock on it until its run
has ended, so that nobody else sends and removes it meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from stile.client.session import Session, segment
from stile.client.waiting import Part, size
from stile.kernel.errors import Conflict, StileError, Unavailable

KEPT = Path(".stile") / "unsent"
_UPDATE = "/api/2.0/mlflow/runs/update"


class KeptFile:
    """The file of one run in one process; it is made when there is something to keep.

    Args:
        folder: where; in a folder for temporary files when nothing can be written there.
        run_id: the run.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder.absolute()  # the program may change its folder
        self._run_id = run_id
        self._file: IO[bytes] | None = None
        self._process = os.getpid()
        self._number = 0

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return self._folder

    @property
    def path(self) -> Path:
        """Where it is, or would be. A forked child has its own."""
        number = f"-{self._number}" if self._number else ""
        return self._folder / f"{self._run_id}.{os.getpid()}{number}.jsonl"

    def add(self, parts: Iterable[Part]) -> None:
        """Keep points."""
        self._write(msgspec.json.encode(("points", part)) for part in parts)

    def end(self, status: str, end_time: int) -> None:
        """Keep that the run has ended (ms since 1970 UTC)."""
        self._write([msgspec.json.encode(("end", {"status": status, "end_time": end_time}))])

    def parts(self) -> Iterator[Part]:
        """The points that were kept."""
        for kind, content in _lines(self.path):
            if kind == "points":
                yield content

    def forget(self) -> None:
        """Everything in it has been sent."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """The run has ended: what is in it may be sent by anybody."""
        if self._file is not None and self._process == os.getpid():
            _unlock(self._file)
            self._file.close()
        self._file = None

    def _write(self, lines: Iterable[bytes]) -> None:
        if self._file is None or self._process != os.getpid():  # a forked child writes its own
            self._file, self._process = self._opened(), os.getpid()
        for line in lines:
            self._file.write(line + b"\n")
        self._file.flush()

    def _opened(self) -> IO[bytes]:
        while True:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                file = self.path.open("ab")
            except OSError:
                import tempfile

                self._folder = Path(tempfile.mkdtemp(prefix="stile-unsent-"))
                file = self.path.open("ab")
            if _locked(file) and self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(file.fileno())):
                return file
            file.close()
            self._number += 1  # somebody sends that one just now, and removes it


def send_kept(session: Session, folder: Path = KEPT, run_id: str = "") -> int:
    """Send what was kept in a folder, of one run or of all; how many points.

    A file that is refused, or still written, is told and stays.

    Raises:
        Unavailable: the server is away (again); what was not sent is still kept.
    """
    count = 0
    for file in sorted(folder.glob("*.jsonl")):
        if run_id and file.name.partition(".")[0] != run_id:
            continue
        try:
            count += _send(session, file)
        except Unavailable:
            raise
        except StileError as error:
            print(f"stile: {file} stays: {error.message}", file=sys.stderr)
    return count


def _send(session: Session, file: Path) -> int:
    run_id = file.name.partition(".")[0]
    count = 0
    with file.open("rb") as held:
        if not _locked(held):
            raise Conflict("Its run is still going on and sends it itself.")
        for kind, content in _lines(file):
            if kind == "points":
                session.post(f"/api/v1/runs/{segment(run_id)}/points", {"series": content})
                count += size(content)
            else:
                session.post(_UPDATE, {"run_id": run_id, **content})
        file.unlink()
    return count


def _lines(file: Path) -> Iterator[tuple[str, Any]]:
    """What a file holds; a last line that was cut off, because the machine went down, is left out."""
    if not file.exists():
        return
    with file.open("rb") as lines:
        for line in lines:
            try:
                kind, content = msgspec.json.decode(line)
            except (msgspec.DecodeError, ValueError):
                return
            yield kind, content


def _locked(file: IO[bytes]) -> bool:
    """Take the lock on a file, as long as it is open; False when somebody else has it."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True  # there are no locks here
    return True


def _unlock(file: IO[bytes]) -> None:
    """Give the lock back at once, also for children that have inherited the file."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
