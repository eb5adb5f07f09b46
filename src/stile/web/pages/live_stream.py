"""A stream that says what has changed since the last look, for pages of runs that go on.

The store is asked once a second, and only while somebody looks: so it is the same whichever server of
several the points arrive at, and logging costs nothing more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar

from stile.edge.call import Call
from stile.store.database import Tx

T = TypeVar("T")

BEGIN = b"retry: 2000\n\n"
"""How a stream begins: when a browser comes back after it broke off, in ms."""

_LOOK_EVERY_S = 1.0
_STREAM_S = 600.0
_SIGN_OF_LIFE_S = 15.0


async def changes(
    call: Call, first: T, look: Callable[[Tx], T], *, over: Callable[[T], bool], say: Callable[[T, T], bytes]
) -> AsyncIterator[bytes]:
    """What ``say`` makes of each look and the one before, until it is ``over``, for ten minutes at most.

    Args:
        call: who listens.
        first: the look that was taken before.
        look: reads how things stand.
        over: whether nothing more will change.
        say: events about what is new in the first of two looks; nothing when nothing is.
    """
    last, begun = first, time.monotonic()
    looked = spoken = begun
    # Topics are for others; here they are the clock, and end when the server is asked to stop.
    async with aclosing(call.services.live.topics(heartbeat_s=_LOOK_EVERY_S)) as ticks:
        while not over(last) and looked - begun < _STREAM_S and await anext(ticks, None) is not None:
            await asyncio.sleep(max(0.0, looked + _LOOK_EVERY_S - time.monotonic()))
            before, last = last, await call.read(look)
            looked = time.monotonic()
            said = say(last, before)
            if said or looked - spoken > _SIGN_OF_LIFE_S:
                spoken = looked
                yield said or b": still here\n\n"
