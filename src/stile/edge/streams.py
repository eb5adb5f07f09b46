"""Answers that come piece by piece end with the call, however it ends: what they read from is closed at once.

Otherwise a file, its buffers and a listener stay for as long as the garbage collector pleases when a client hangs up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import cast

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse


async def in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces that may wait for a disk or a network, each read in a thread; their generator is closed in the end."""
    try:
        async with aclosing(cast("AsyncGenerator[bytes]", iterate_in_threadpool(pieces))) as found:
            async for piece in found:
                yield piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


async def end(response: Response) -> None:
    """Close what an answer reads from. Nothing happens when it has been read to its end, or comes in one piece."""
    if isinstance(response, StreamingResponse):
        close = getattr(response.body_iterator, "aclose", None)
        if close is not None:
            await close()
