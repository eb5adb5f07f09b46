"""What a transfer has finished, one line per run, so that a transfer that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec


class DoneRun(msgspec.Struct, frozen=True):
    """A run that was moved with all its points and files; ``end_time`` as it was at the source."""

    run_id: str
    end_time: int | None
    artifact_uri: str


class TransferState:
    """The state of one transfer in a file of JSON lines; a torn last line is ignored."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._done: dict[str, DoneRun] = {}
        if file.is_file():
            for line in file.read_bytes().splitlines():
                try:
                    done = msgspec.json.decode(line, type=DoneRun)
                except msgspec.DecodeError:
                    continue
                self._done[done.run_id] = done
        file.parent.mkdir(parents=True, exist_ok=True)
        self._out = file.open("ab")
        self._out.write(b"\n")  # ends a line that was torn

    def done(self, run_id: str) -> DoneRun | None:
        """The run as it was finished, or None."""
        return self._done.get(run_id)

    def finish(self, run_id: str, end_time: int | None, artifact_uri: str) -> None:
        """Remember that a run is done."""
        done = DoneRun(run_id, end_time, artifact_uri)
        self._done[run_id] = done
        self._out.write(msgspec.json.encode(done) + b"\n")
        self._out.flush()

    def close(self) -> None:
        """Close the file."""
        self._out.close()


def state_file(folder: Path, source: str, server: str) -> Path:
    """Where the state of moving ``source`` to ``server`` is kept."""
    name = hashlib.sha256(f"{source}\n{server}".encode()).hexdigest()[:16]
    return folder / f"import-{name}.jsonl"
