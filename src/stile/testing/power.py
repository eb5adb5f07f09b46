"""A disk that loses everything that was not synced, for tests of durability.

While ``watched_syncs`` is active, SQLite opens its files through a VFS that keeps, at each sync of
a file, a copy of what the file then holds; the same for ``os.fsync`` of a write-ahead log. Opening
the copies is opening the store after a power cut that came at the worst moment.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest


class Disk:
    """What has been synced so far.

    Attributes:
        syncs: number of syncs of each file, by its name.
        real_vfs: the VFS that does the work.
        refuses: the error of SQLite that every writing to a file ends in, such as ``apsw.FullError``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.syncs: Counter[str] = Counter()
        self.real_vfs = apsw.vfs_names()[0]  # the default one
        self.refuses: type[apsw.Error] | None = None
        self._one = threading.Lock()
        folder.mkdir()

    def synced(self, file: Path) -> None:
        """Keep what ``file`` holds now."""
        with self._one:
            self.syncs[file.name] += 1
            shutil.copyfile(file, self._folder / file.name)

    def deleted(self, file: Path) -> None:
        """``file`` is gone."""
        with self._one:
            (self._folder / file.name).unlink(missing_ok=True)

    def after_power_cut(self, target: Path) -> Path:
        """A copy of the files as they would be found; returns ``target``."""
        with self._one:
            shutil.copytree(self._folder, target)
        return target


@contextmanager
def watched_syncs(folder: Path) -> Iterator[Disk]:
    """Keep every synced state in the new ``folder``, for databases that are opened inside the block."""
    disk = Disk(folder)
    real = disk.real_vfs

    class _File(apsw.VFSFile):
        def __init__(self, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
            super().__init__(real, name, flags)
            self._name = name.filename() if isinstance(name, apsw.URIFilename) else name

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
            if disk.refuses is not None:
                raise disk.refuses("the disk of a test")
            super().xWrite(data, offset)

        def xSync(self, flags: int) -> None:  # noqa: N802  SQLite's name
            super().xSync(flags)
            if self._name:
                disk.synced(Path(self._name))

    class _Vfs(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("power-cut", real, makedefault=True)

        def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> _File:  # noqa: N802
            return _File(name, flags)

        def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
            super().xDelete(filename, syncdir)
            disk.deleted(Path(filename))

    fsync = os.fsync

    def kept_fsync(handle: int) -> None:
        fsync(handle)
        file = Path(f"/proc/self/fd/{handle}").readlink()
        if file.name.endswith("-wal"):
            disk.synced(file)

    vfs = _Vfs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", kept_fsync)
        try:
            yield disk
        finally:
            vfs.unregister()
