"""Verbs on uploads that come in parts: begin, take a part, put together, give up.

Parts wait in a store apart (``BlobStore.apart``) that only their upload sees. They are named by rows;
nothing is an artifact before all of them are there, put together, durable and bound to the path.
"""

from __future__ import annotations

from collections.abc import Sequence

from stile.kernel.errors import Conflict, Invalid, Missing, TooLarge, TooMany
from stile.store.blobs import BlobStore
from stile.store.database import Tx
from stile.train import artifacts
from stile.train import upload_records as records
from stile.train.artifact_paths import checked_path
from stile.train.upload_records import Part, Upload

__all__ = [
    "LIFETIME_MS",
    "MOST_PARTS",
    "Part",
    "Upload",
    "abandoned",
    "arranged",
    "begin",
    "finish",
    "forget",
    "get",
    "keep_part",
    "put_together",
    "room",
]

MOST_PARTS = 10_000
"""Source: the limit of Amazon S3, which MLflow's clients know."""

LIFETIME_MS = 86_400_000
"""An upload that is not complete a day after it was begun has been abandoned."""

_MOST_COMING = 1000


def begin(tx: Tx, *, path: str, parts: int, by: str) -> Upload:
    """Begin an upload of ``parts`` parts to ``path``.

    Raises:
        Invalid: the path is not acceptable, or the number of parts is not between 1 and ``MOST_PARTS``.
        Forbidden: the path lies in the registry's part.
        TooMany: too many uploads are coming already.
    """
    artifacts.refuse_reserved(checked_path(path))
    if not 1 <= parts <= MOST_PARTS:
        raise Invalid(f"num_parts must be between 1 and {MOST_PARTS}, not {parts}. Use larger parts.")
    if records.coming(tx, tx.now_ms() - LIFETIME_MS) >= _MOST_COMING:
        raise TooMany(f"{_MOST_COMING} uploads are under way. Complete or abort some, or try again later.")
    return records.add(tx, id=tx.new_hex(), path=path, parts=parts, by=by)


def get(tx: Tx, id: str, *, path: str, by: str) -> Upload:
    """The upload of this id to this path by this caller.

    Raises:
        Missing: there is none.
    """
    found = records.find(tx, id)
    if found is None or (found.path, found.by) != (path, by):
        raise Missing(f"There is no upload {id[:80]!r} of yours to {path!r}. It may have been aborted or abandoned.")
    return found


def room(tx: Tx, id: str, number: int, *, limit: int) -> int:
    """Bytes that part ``number`` may have so that the whole stays within ``limit``.

    Raises:
        Missing: there is no such upload.
        Conflict: it is complete.
        Invalid: it has no such part.
        TooLarge: the other parts use up the limit.
    """
    found = records.find(tx, id)
    if found is None:
        raise Missing("The upload this part belongs to was aborted or abandoned. Begin it again.")
    if found.digest:
        raise Conflict("The upload this part belongs to is complete, so it takes no more parts.")
    if not 1 <= number <= found.parts:
        raise Invalid(f"The upload has parts 1 to {found.parts}, no part {number}.")
    left = limit - records.bytes_beside(tx, id, number)
    if left < 0:
        raise TooLarge(f"The parts together are larger than the limit of {limit} bytes.", limit=limit)
    return left


def keep_part(tx: Tx, id: str, part: Part, *, limit: int) -> None:
    """Note a part whose bytes are in the store apart; see ``room`` for what it raises."""
    if part.size > room(tx, id, part.number, limit=limit):
        raise TooLarge(f"The parts together are larger than the limit of {limit} bytes.", limit=limit)
    records.put_part(tx, id, part)


def arranged(tx: Tx, upload: Upload, claimed: Sequence[tuple[int, str]]) -> list[Part]:
    """The parts in order, after comparing them with what the client says it has sent.

    Args:
        tx: the transaction.
        upload: the upload.
        claimed: (number, digest) of each part, in any order.

    Raises:
        Invalid: a part has not arrived, is named twice, or arrived with other content.
    """
    found = records.parts(tx, upload.id)
    missing = sorted(set(range(1, upload.parts + 1)) - {part.number for part in found})
    if missing:
        raise Invalid(f"Part {missing[0]} of {upload.parts} has not arrived ({len(missing)} are missing). Send it.")
    if sorted(claimed) != [(part.number, part.digest) for part in found]:
        raise Invalid("The parts named are not those that arrived. Name each part once, with the ETag of its answer.")
    return found


def put_together(blobs: BlobStore, upload: Upload, parts: Sequence[Part]) -> tuple[str, int]:
    """Store the parts as one content; returns its digest and size in bytes.

    Raises:
        Missing: a part is gone, because the upload was aborted or completed meanwhile.
    """
    apart = blobs.apart(upload.id)
    with blobs.writer() as writer:
        for part in parts:
            for chunk in apart.chunks(part.digest):
                writer.write(chunk)
        if writer.size != sum(part.size for part in parts):
            raise Missing("A part was changed while the parts were put together. Begin the upload again.")
        return writer.commit(), writer.size


def finish(tx: Tx, upload: Upload, *, digest: str, size: int) -> None:
    """Make the content the artifact the upload was for."""
    artifacts.bind(tx, path=upload.path, digest=digest, size=size, by=upload.by)
    records.finish(tx, upload.id, digest)


def forget(tx: Tx, id: str) -> None:
    """Forget an upload. Its parts must be gone from the store apart."""
    records.drop(tx, id)


def abandoned(tx: Tx) -> list[tuple[str, bool]]:
    """(id, whether it was completed) of uploads past their lifetime, oldest first."""
    return records.begun_before(tx, tx.now_ms() - LIFETIME_MS)
