"""Where a gateway learns what to serve: a Stile server, or a folder with a model in it.

What was last good is kept on disk (the document and, by digest, every file), so a gateway
starts and serves while the server is away.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol

import msgspec

from stile.client.session import Session, segment
from stile.deploy.deployment import Deployment, FileRef, Variant
from stile.kernel.canonical import digest_bytes, digest_of
from stile.kernel.errors import Corrupt, Invalid, Missing
from stile.store.blobs import BlobStore

_POLL_SECONDS = 1.0


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway says about itself after trying a deployment.

    Attributes:
        state: ``serving`` or ``failed``; a failed one goes on serving what it served before.
        revision: of the document this is about.
        serving: revision that answers now, 0 for none.
        problems: what was left out or failed, in words.
    """

    gateway: str
    state: str
    revision: int
    serving: int
    problems: list[str] = []


class DeploymentSource(Protocol):
    """Hands out deployments and the bytes behind them. Used from one thread, never the event loop's."""

    def wait(self, *, after: int, seconds: float) -> Deployment | None:
        """The deployment once its revision differs from ``after``; None when the time is over.

        Raises:
            StileError: the source cannot be asked, or has nothing by that name.
        """
        ...

    def fetch(self, digest: str, blobs: BlobStore) -> None:
        """Put the content named ``digest`` into ``blobs``.

        Raises:
            Corrupt: what came is not what was named.
        """
        ...

    def report(self, report: GatewayReport) -> None:
        """Tell the source how the last deployment went."""
        ...


class ServerSource:
    """A Stile server, asked by long poll."""

    def __init__(self, session: Session, use_case: str) -> None:
        self._session = session
        self._base = f"/api/v1/use-cases/{segment(use_case)}"

    def wait(self, *, after: int, seconds: float) -> Deployment | None:
        answer = self._session.get(f"{self._base}/deployment", after=after, wait=int(seconds), timeout_s=seconds + 30)
        deployment = msgspec.convert(answer, Deployment)
        return None if deployment.revision == after else deployment

    def fetch(self, digest: str, blobs: BlobStore) -> None:
        content = self._session.download(f"/api/v1/blobs/{digest}")
        if digest_bytes(content) != digest:
            raise Corrupt(f"The server sent other bytes than {digest} names, so they are not used.")
        blobs.put(content)

    def report(self, report: GatewayReport) -> None:
        self._session.put(f"{self._base}/gateways/{segment(report.gateway)}", msgspec.to_builtins(report))


class FolderSource:
    """Folders with one MLflow model each, by part: for trying a model out, without a server.

    Args:
        use_case: name to serve under.
        folders: model folder by part; replaced as a whole by ``change``.
    """

    def __init__(
        self, use_case: str, folders: dict[str, Path], *, positive: str = "1", segment_column: str = ""
    ) -> None:
        self._use_case = use_case
        self._positive = positive
        self._segment = segment_column
        self._contents: dict[str, Path] = {}
        self._folders = folders
        self._revision = 0
        self._seen = ""

    def change(self, folders: dict[str, Path]) -> None:
        """Serve other folders from now on."""
        self._folders = folders

    def wait(self, *, after: int, seconds: float) -> Deployment | None:
        ends = time.monotonic() + seconds
        while True:
            deployment = self._deployment()
            if deployment.revision != after:
                return deployment
            rest = ends - time.monotonic()
            if rest <= 0:
                return None
            time.sleep(min(rest, _POLL_SECONDS / 10))

    def fetch(self, digest: str, blobs: BlobStore) -> None:
        path = self._contents.get(digest)
        if path is None:
            raise Missing(f"No file of the folder has the digest {digest}.")
        if blobs.put(path.read_bytes()) != digest:
            raise Corrupt(f"{path.name} has changed while it was read.")

    def report(self, report: GatewayReport) -> None:
        """Nobody to tell: the gateway's readiness shows it."""

    def _deployment(self) -> Deployment:
        variants = []
        for position, (role, folder) in enumerate(self._folders.items(), start=1):
            files = []
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                content = path.read_bytes()
                digest = digest_bytes(content)
                self._contents[digest] = path
                files.append(FileRef(path=path.relative_to(folder).as_posix(), digest=digest, size=len(content)))
            whole = digest_of({file.path: file.digest for file in files})
            version = int(folder.name) if folder.name.isdigit() else position
            variants.append(
                msgspec.convert(
                    {"role": role, "version": version, "digest": whole, "files": msgspec.to_builtins(files)}, Variant
                )
            )
        seen = digest_of(msgspec.to_builtins(variants))
        if seen != self._seen:
            self._revision += 1
            self._seen = seen
        return Deployment(
            use_case=self._use_case, revision=self._revision, variants=tuple(variants), positive=self._positive,
            segment=self._segment,
        )  # fmt: skip


class LastGood:
    """The last deployments that loaded, on disk beside their files: newest first."""

    _KEPT = 3

    def __init__(self, folder: Path, blobs: BlobStore) -> None:
        self._path = folder / "deployments.json"
        self._blobs = blobs

    def newest(self) -> Deployment | None:
        """The last deployment that loaded here, or None."""
        known = self._load()
        return known[0] if known else None

    def keep(self, deployment: Deployment) -> None:
        """Remember a deployment that loaded, and forget files that none of the last ones uses."""
        known = self._load()
        kept = [deployment, *(other for other in known if other.revision != deployment.revision)][: self._KEPT]
        draft = self._path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        used = _files(kept)
        for digest in _files(known) - used:
            self._blobs.delete(digest)

    def _load(self) -> list[Deployment]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Deployment])
        except (FileNotFoundError, msgspec.DecodeError):
            return []


def fetch_all(deployment: Deployment, source: DeploymentSource, blobs: BlobStore) -> None:
    """Bring every file of a deployment here, each checked against its digest.

    Raises:
        Invalid: a digest is not one.
        StileError: a file cannot be had.
    """
    for variant in deployment.variants:
        for file in variant.files:
            if blobs.has(file.digest):
                try:
                    blobs.get(file.digest)
                    continue
                except Corrupt:
                    blobs.delete(file.digest)
            source.fetch(file.digest, blobs)


def parse_folders(options: list[str]) -> dict[str, Path]:
    """``role=folder`` options (a bare folder is the champion) as a table.

    Raises:
        Invalid: an option names no part, or no model folder.
    """
    folders: dict[str, Path] = {}
    for option in options:
        role, _, folder = option.rpartition("=")
        role = role or "champion"
        if role not in ("champion", "challenger", "shadow"):
            raise Invalid(f"{role!r} is not a part a model can play. These are: champion, challenger, shadow.")
        if not (Path(folder) / "MLmodel").is_file():
            raise Invalid(f"{folder} holds no MLmodel file, so it is not a model folder.")
        folders[role] = Path(folder)
    return folders


def _files(deployments: list[Deployment]) -> set[str]:
    return {file.digest for deployment in deployments for variant in deployment.variants for file in variant.files}
