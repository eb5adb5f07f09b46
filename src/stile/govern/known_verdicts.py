"""What the rules said before is not asked again: a verdict depends on nothing but what it was given.

A use case that is retrained every night has hundreds of versions, and whatever is asked about one of them takes
all into account, because the policy's choice is made among all that pass.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from stile.govern.gate import Judged

_MOST = 2048
"""Verdicts kept; each takes a few kilobytes."""

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Judged).decode


class KnownVerdicts:
    """Verdicts by everything they rest on, those used last. Safe to use from any thread."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._one = threading.Lock()
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    def judged(self, inputs: object, judge: Callable[[], Judged]) -> Judged:
        """The verdict on these inputs.

        Args:
            inputs: everything the verdict rests on; documents may be given by their digests.
            judge: works it out when it is not known.
        """
        key = _encode(inputs)
        with self._one:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
        if known is not None:
            return _decode(known)
        made = judge()
        with self._one:
            self._known[key] = _encode(made)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return made
