"""Where contents lie while they come in: under names that are on disk already.

A new file needs two syncs, of its bytes and of the folder that names it. Here the names come first: a
batch of empty files is made and their folder synced once. A content is then written into one of them
and synced (one sync); from that moment it survives a power cut under this name. Renaming it to its
digest is not waited for: a rename is undone or done by a power cut, never half, and what is found
under its first name after a power cut is named by its digest then.

Each store that is open has a folder of its own, locked as long as the process lives, so that several
servers may share a place and what a dead one left is told from what a living one is writing. The
folder's name says during which run of the machine it was made: within the same run nothing was lost,
so what a killed server left was never acknowledged and is cleared away unread.

Source: fsync(2) and rename(2) of Linux; ``/proc/sys/kernel/random/boot_id``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from stile.kernel.errors import Unavailable

_BATCH = 32
_TRIES = 5
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Desk:
    """Hands out files that exist durably and are empty. Thread-safe.

    Args:
        incoming: folder of all desks of a store; must exist.
    """

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming
        self._files: list[Path] = []
        self._one = threading.Lock()
        self._folder: Path | None = None

    def take(self) -> Path:
        """A file of the caller's own, which must be renamed or removed in the end.

        Raises:
            OSError: there is no room, or the folder cannot be written.
        """
        with self._one:
            if not self._files:
                self._files = self._more()
            return self._files.pop()

    def _more(self) -> list[Path]:
        folder = self._folder = self._folder or self._open()
        made = [folder / secrets.token_hex(8) for _ in range(_BATCH)]
        for file in made:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        sync_folder(folder)
        return made

    def _open(self) -> Path:
        for _ in range(_TRIES):
            folder = self._incoming / f"{_this_boot()}-{secrets.token_hex(8)}"
            folder.mkdir()
            lock = _locked(folder)
            if lock is not None and folder.exists():  # nobody has cleared it away before it was locked
                weakref.finalize(self, _leave, lock, folder)
                for parent in (self._incoming, self._incoming.parent, self._incoming.parent.parent):
                    sync_folder(parent)
                return folder
        raise Unavailable("The data folder cannot take contents in now: it is being cleared. Try again.")


def clear(incoming: Path, adopt: Callable[[Path], None]) -> None:
    """Put away what dead processes left: after a power cut their contents are handed to ``adopt``, else dropped."""
    for folder in incoming.iterdir():
        lock = _locked(folder) if folder.is_dir() else None
        if lock is None:
            continue
        try:
            boot = folder.name.partition("-")[0]
            if not boot or boot != _this_boot():
                for file in list(folder.iterdir()):
                    if file.stat().st_size:
                        adopt(file)
            shutil.rmtree(folder)
        finally:
            os.close(lock)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _this_boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip().replace("-", "")
    except OSError:  # another system: every start counts as one after a power cut
        return ""


def _locked(folder: Path) -> int | None:
    """A descriptor that locks the folder while it is open; None when somebody else has it, or it is gone."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _leave(lock: int, folder: Path) -> None:
    """Take the empty files away when the store is no longer used; one that is being written stays for its writer."""
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if file.stat().st_size == 0:
                file.unlink()
        folder.rmdir()
    os.close(lock)
