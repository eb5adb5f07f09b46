"""Files of runs and models that lie on this machine: addresses of folders, and what is below them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stile.train.moving.values import FoundFile, NotHere

_CHUNK = 1 << 20
_PROXIED = "mlflow-artifacts:"


def local_path(uri: str, artifacts: Path | None = None) -> Path:
    """The folder an address names; ``artifacts`` is where a server kept what it calls ``mlflow-artifacts:``.

    Raises:
        NotHere: the address is not of this machine.
    """
    if uri.startswith(_PROXIED):
        below = unquote(urlsplit(uri).path).strip("/")
        if ".." in below.split("/"):
            raise NotHere(f"the address {uri} leads elsewhere")
        if artifacts is None:
            raise NotHere(
                "the files were kept by the old server: give the folder of its --artifacts-destination with --artifacts"
            )
        return artifacts / below
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    if "://" in uri or not uri:
        raise NotHere(f"the files are at {uri or 'no address'}, which is not on this machine; their address is kept")
    return Path(uri)


def files_below(folder: Path) -> Iterator[FoundFile]:
    """Every file below a folder, by path; links that lead out of it are left out.

    Raises:
        NotHere: the folder is not there.
    """
    if not folder.is_dir():
        raise NotHere(f"the folder {folder} is not there")
    inside = folder.resolve()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.resolve().is_relative_to(inside):
            yield FoundFile(path=file.relative_to(folder).as_posix(), size=file.stat().st_size, read=_reader(file))


def has_files(folder: Path) -> bool:
    """Whether there is anything to take."""
    return folder.is_dir() and next((True for file in folder.rglob("*") if file.is_file()), False)


def _reader(file: Path) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK):
                yield chunk

    return read
