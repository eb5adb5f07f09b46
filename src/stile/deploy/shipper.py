"""Brings the prediction log to the server, each record exactly once.

The server keeps, per gateway and segment, how many records it has stored, and moves that number
in the transaction that stores them. The shipper remembers nothing: it sends from the start of
each segment and jumps to where the server says it is, so a kill -9 of either side costs a repeat
and never a record. A segment is deleted when it is sealed and wholly stored.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import msgspec

from stile.client.session import Session, segment
from stile.deploy.prediction_log import PredictionLog
from stile.kernel.errors import Conflict, StileError

logger = logging.getLogger("stile.gateway")

_BATCH_BYTES = 1 << 20
_IDLE_SECONDS = 0.2
_RETRY_SECONDS = 2.0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: records ``offset`` and following of one segment of one gateway."""

    gateway: str
    segment: str
    offset: int
    columns: dict[str, list[str]]
    records: list[msgspec.Raw]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer: records stored now, and the offset it waits for."""

    stored: int
    next: int


Send = Callable[[Batch], Stored]


def to_server(session: Session, use_case: str) -> Send:
    """Sends batches to a Stile server."""
    path = f"/api/v1/use-cases/{segment(use_case)}/predictions"

    def send(batch: Batch) -> Stored:
        return msgspec.convert(session.post(path, batch, timeout_s=60), Stored)

    return send


class _Place:
    """How far one segment has been read and stored."""

    __slots__ = ("at", "count", "ended")

    def __init__(self) -> None:
        self.at = 0  # byte to read from
        self.count = 0  # intact records before it
        self.ended = False


class Shipper:
    """A thread that ships one log.

    Args:
        log: the gateway's prediction log.
        gateway: id of the gateway, the same across restarts.
        send: delivers a batch.
    """

    def __init__(self, log: PredictionLog, gateway: str, send: Send) -> None:
        self._log = log
        self._gateway = gateway
        self._send = send
        self._places: dict[str, _Place] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stile-ship", daemon=True)
        self.shipped = 0
        self.broken = 0
        self.problem = ""

    def start(self) -> None:
        """Begin shipping."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is there, once, and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def run_once(self) -> int:
        """Ship everything that is there now; returns the records sent.

        Raises:
            StileError: the server did not take a batch.
        """
        sent = 0
        self._log.seal_if_due()
        for name, sealed in self._log.segments():
            place = self._places.setdefault(name, _Place())
            while True:
                bodies, following, broken = self._log.read(name, place.at, _BATCH_BYTES)
                if following == place.at:
                    break
                self.broken += broken
                if bodies:
                    sent += self._deliver(name, place, bodies)
                place.at = following
            if sealed:
                self._log.delete(name)
                del self._places[name]
        return sent

    def _deliver(self, name: str, place: _Place, bodies: list[bytes]) -> int:
        """Send the records of ``bodies`` that the server has not stored; only then count them as behind us."""
        end = place.count + len(bodies)
        keys = {msgspec.json.decode(body, type=_Keyed).columns for body in bodies}
        columns = {key: self._log.column_names(key) for key in keys}
        offset, stored = place.count, 0
        while offset < end:
            records = [msgspec.Raw(body) for body in bodies[offset - place.count :]]
            try:
                answer = self._send(
                    Batch(gateway=self._gateway, segment=name, offset=offset, columns=columns, records=records)
                )
            except Conflict as conflict:
                self._begin_again(name, conflict)
                raise
            stored += answer.stored
            if answer.next >= end:
                break
            if answer.next <= offset:
                raise Conflict(f"The server is at record {answer.next} of {name}, before the {offset} it was sent.")
            offset = answer.next
        place.count = end
        self.shipped += stored
        return stored

    def _begin_again(self, name: str, conflict: Conflict) -> None:
        """The server has less than we think (it was restored from a backup): read the segment from its start."""
        logger.warning("%s; sending the segment from its start.", conflict.message)
        self._places[name] = _Place()

    def _work(self) -> None:
        while True:
            last = self._stopping.is_set()
            wait = _IDLE_SECONDS
            try:
                if self.run_once():
                    wait = 0.0
                self.problem = ""
            except (StileError, OSError) as error:
                if not self.problem:
                    logger.warning("Predictions wait for the server: %s", error)
                self.problem = str(error)
                wait = _RETRY_SECONDS
            if last:
                return
            self._stopping.wait(wait)


class _Keyed(msgspec.Struct):
    columns: str
