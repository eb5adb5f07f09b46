"""Bodies into blobs and blobs into answers, piece by piece, without holding up anybody else.

Source: RFC 9110 section 14 (range requests): one range is answered with 206, several or a malformed
one with the whole, one that lies outside with 416.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import Response, StreamingResponse

from stile.edge.call import Call
from stile.edge.streams import in_threads
from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import TooLarge
from stile.store.blobs import BlobStore, BlobWriter
from stile.store.database import Tx

_IN_ONE_PIECE = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_KIND = "application/octet-stream"


class Received(NamedTuple):
    """The body of a request.

    Attributes:
        digest, size: of it; the size in bytes.
        content: the body itself while it is stored nowhere; None when it is in the blob store.
    """

    digest: str
    size: int
    content: bytes | None

    def keep(self, tx: Tx, call: Call) -> None:
        """Make sure that the content is as durable as the transaction that refers to it."""
        if self.content is not None:
            call.services.blobs.arrive(tx, self.digest, self.content)


async def take(call: Call) -> Received:
    """The body of a request, for a transaction that will refer to it and must call ``keep``.

    Raises:
        TooLarge: the body is larger than the server's limit for uploads. Nothing is kept.
        Unavailable: it cannot be stored now. Nothing is kept.
    """
    length = call.request.headers.get("content-length", "")
    if length.isdigit() and call.services.blobs.takes(int(length)):
        content = await call.body(call.services.settings.max_upload_bytes)
        return Received(digest_bytes(content), len(content), content)
    digest, size = await receive(call, call.services.blobs)
    return Received(digest, size, None)


async def receive(call: Call, blobs: BlobStore, *, limit: int | None = None) -> tuple[str, int]:
    """Store the body of a request durably; returns its digest and its size in bytes.

    Args:
        call: the request.
        blobs: where it goes.
        limit: most bytes; the server's limit for uploads by default.

    Raises:
        TooLarge: the body is larger than the limit. Nothing is kept.
        Unavailable: it cannot be stored now. Nothing is kept.
    """
    limit = call.services.settings.max_upload_bytes if limit is None else limit
    body = call.chunks()
    begun = bytearray()
    async for chunk in body:
        begun += chunk
        if len(begun) >= _IN_ONE_PIECE:
            break
    else:
        if len(begun) > limit:
            raise TooLarge(f"The content is larger than the limit of {limit} bytes.", limit=limit)
        return await asyncio.to_thread(blobs.put, bytes(begun)), len(begun)
    with blobs.writer(limit=limit) as writer:
        writing = _write(writer, begun)
        try:
            begun = bytearray()
            async for chunk in body:  # goes on while the piece before is hashed and written
                begun += chunk
                if len(begun) >= _IN_ONE_PIECE:
                    await writing
                    writing, begun = _write(writer, begun), bytearray()
            await writing
        finally:
            await asyncio.gather(writing, return_exceptions=True)  # the writer is not closed under its hands
        await asyncio.to_thread(writer.write, bytes(begun))
        return await asyncio.to_thread(writer.commit), writer.size


def _write(writer: BlobWriter, content: bytearray) -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.to_thread(writer.write, bytes(content)))


async def send(
    call: Call, digest: str, size: int, headers: Mapping[str, str], content: bytes | None = None
) -> Response:
    """The content of a blob, or the range of it that was asked for, as a download.

    Args:
        call: the request; HEAD gets the headers only.
        digest: names the blob.
        size: its length in bytes.
        headers: sent as well.
        content: what the store's ``at_hand`` gave, to be read here when that was None.

    Raises:
        Missing: there is no such blob.
        Unavailable: the store cannot be reached.
    """
    blobs = call.services.blobs
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{digest}"', "X-Content-Type-Options": "nosniff", **headers}
    first, end, status = _asked(call, digest, size)
    if status == 416:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - first)
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=_KIND)
    if status == 200 and size <= _IN_ONE_PIECE:
        whole = content if content is not None else await asyncio.to_thread(blobs.get, digest)
        return Response(whole, headers=headers, media_type=_KIND)
    # opened before the answer begins: what is missing can still be said
    chunks = await asyncio.to_thread(blobs.chunks, digest, first=first, count=end - first)
    return StreamingResponse(in_threads(chunks), status_code=status, headers=headers, media_type=_KIND)


def _asked(call: Call, digest: str, size: int) -> tuple[int, int, int]:
    """(offset of the first byte, offset after the last, status)."""
    asked = call.request.headers.get("range")
    if asked is None or call.request.headers.get("if-range", f'"{digest}"') != f'"{digest}"':
        return 0, size, 200
    found = _RANGE.fullmatch(asked.strip())
    if found is None or not (found[1] or found[2]) or (found[1] and found[2] and int(found[1]) > int(found[2])):
        return 0, size, 200
    if not found[1]:  # the last so many bytes
        first, end = max(size - int(found[2]), 0), size
    else:
        first, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    return (first, end, 206) if first < end else (0, 0, 416)
