"""The prediction log of one gateway: what was acknowledged survives kill -9 without a disk sync per request.

Records of all answers of one event-loop tick go out in one ``write`` before the answers are
released: what the kernel has taken, the death of the process cannot lose. A thread syncs to disk
behind; with ``strict`` the sync comes before the answers, so that power loss loses nothing either.

A segment is a file of lines ``<crc32 as 8 hex digits> <JSON>``. A line that does not match its
sum was torn and is dropped. Segments are numbered and sealed by size or age; what the server
has stored is deleted. Segments of an earlier process are only ever read.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from stile.kernel.errors import Corrupt, StorageFull, Unavailable

SEGMENT_BYTES = 64 << 20
SEGMENT_SECONDS = 60.0
_SYNC_SECONDS = 0.1
_LINE_HEAD = 9


def frame(body: bytes) -> bytes:
    """One line of the log: sum, space, body, newline."""
    return b"%08x %b\n" % (zlib.crc32(body), body)


def unframe(lines: bytes) -> tuple[list[bytes], int]:
    """The bodies of whole and intact lines, and how many whole lines were not intact."""
    bodies, broken = [], 0
    for line in lines.split(b"\n")[:-1]:
        body = line[_LINE_HEAD:]
        try:
            intact = line[8:9] == b" " and int(line[:8], 16) == zlib.crc32(body)
        except ValueError:
            intact = False
        if intact:
            bodies.append(body)
        else:
            broken += 1
    return bodies, broken


class PredictionLog:
    """Appends records; thread-safe.

    Args:
        folder: belongs to this log alone; a second log on it is refused.
        strict: sync to disk before ``append`` returns.
        segment_bytes, segment_seconds: when a segment is sealed.

    Raises:
        Unavailable: another process is writing here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        strict: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        self.folder = folder
        self.strict = strict
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        (folder / "segments").mkdir(parents=True, exist_ok=True)
        (folder / "columns").mkdir(exist_ok=True)
        self._held = _lock(folder)
        self._lock = threading.Lock()
        self._dirty = False
        self._closing = threading.Event()
        self._descriptor = -1
        self._open_next()
        self._thread = threading.Thread(target=self._sync_behind, name="stile-log-sync", daemon=True)
        self._thread.start()

    def append(self, bodies: Iterable[bytes]) -> None:
        """Write records with one call; on return they outlive the process (with ``strict``, the machine).

        Raises:
            StorageFull: they could not be written; nothing of them counts as logged.
        """
        block = b"".join(frame(body) for body in bodies)
        with self._lock:
            start = self._size
            try:
                written = os.write(self._descriptor, block)
                while written < len(block):
                    written += os.write(self._descriptor, block[written:])
                self._size += len(block)
                if self.strict:
                    os.fdatasync(self._descriptor)
                else:
                    self._dirty = True
            except OSError as error:
                self._take_back(start)
                raise StorageFull(
                    f"The prediction could not be logged ({error.strerror}). Free some disk space."
                ) from error
            if self._size >= self._segment_bytes:
                self._seal()

    def columns(self, key: str, names: list[str]) -> None:
        """Keep the column names that records refer to by ``key``; durable before the first of them."""
        path = self.folder / "columns" / f"{key}.json"
        if path.exists():
            return
        draft = path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(names))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def column_names(self, key: str) -> list[str]:
        """The column names kept under ``key``.

        Raises:
            Corrupt: they are not there.
        """
        try:
            return msgspec.json.decode((self.folder / "columns" / f"{key}.json").read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError) as error:
            raise Corrupt(
                f"The column names {key} of the prediction log cannot be read. Restore the log's folder."
            ) from error

    def segments(self) -> list[tuple[str, bool]]:
        """(name, sealed) of every segment that still exists, oldest first."""
        with self._lock:
            current = self._name
        names = sorted(path.name for path in (self.folder / "segments").iterdir() if path.suffix == ".log")
        return [(name, name != current) for name in names]

    def read(self, segment: str, at: int, limit: int) -> tuple[list[bytes], int, int]:
        """Records of a segment from byte ``at``: (bodies, the byte to go on from, broken lines met).

        At most about ``limit`` bytes; a tail that is still being written, or was torn, is not read.
        """
        with (self.folder / "segments" / segment).open("rb") as file:
            file.seek(at)
            block = file.read(limit)
            if block and b"\n" not in block and len(block) == limit:  # one line longer than the limit
                block += file.readline()
        whole = block[: block.rfind(b"\n") + 1]
        bodies, broken = unframe(whole)
        return bodies, at + len(whole), broken

    def delete(self, segment: str) -> None:
        """Forget a sealed segment, after the server has stored all of it."""
        with self._lock:
            if segment == self._name:
                raise Unavailable("The open segment of the prediction log cannot be deleted.")
        (self.folder / "segments" / segment).unlink(missing_ok=True)

    def seal_if_due(self) -> None:
        """Start a new segment when the open one is old and not empty."""
        with self._lock:
            if self._size and time.monotonic() - self._opened >= self._segment_seconds:
                self._seal()

    def close(self) -> None:
        """Sync and release; later appends fail."""
        self._closing.set()
        self._thread.join()
        with self._lock:
            if self._descriptor >= 0:
                os.fdatasync(self._descriptor)
                os.close(self._descriptor)
                self._descriptor = -1
                os.close(self._held)

    def _seal(self) -> None:
        os.fdatasync(self._descriptor)
        os.close(self._descriptor)
        self._open_next()

    def _open_next(self) -> None:
        taken = [int(path.stem) for path in (self.folder / "segments").glob("*.log") if path.stem.isdigit()]
        last = self.folder / "last-segment"
        number = max([*taken, int(last.read_text() or 0) if last.exists() else 0]) + 1
        last.write_text(str(number))  # a deleted segment's number is never used again
        self._name = f"{number:010d}.log"
        path = self.folder / "segments" / self._name
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._size = 0
        self._dirty = False
        self._opened = time.monotonic()

    def _take_back(self, size: int) -> None:
        """A half-written block must not glue itself to the next one."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError:
            self._size = size
            self._open_next()

    def _sync_behind(self) -> None:
        while not self._closing.wait(_SYNC_SECONDS):
            with self._lock:
                if not self._dirty:
                    continue
                self._dirty = False
                descriptor = os.dup(self._descriptor)
            try:
                os.fdatasync(descriptor)
            except OSError:
                with self._lock:
                    self._dirty = True
            finally:
                os.close(descriptor)


def _lock(folder: Path) -> int:
    import fcntl  # noqa: PLC0415  not on every platform; only gateways need it

    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Unavailable(
            "Another gateway is using this state folder. Stop it, or give this one its own with --state.",
        ) from error
    return descriptor
