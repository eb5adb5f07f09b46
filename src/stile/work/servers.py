"""Which of the servers that share a store are gone, judged without comparing clocks.

Each server counts up a number of its own. One whose number did not move between several
looks of ours in a row is gone. Looks that fail do not count: while the store is away nobody's
number moves.
"""

from __future__ import annotations

from collections.abc import Callable

from stile.store.database import Database
from stile.work import server_records

BEAT_EVERY_S = 4.0
_LOOKS = 4


class Servers:
    """Keeps this server on the list, and hands over what is left of those that are gone.

    Args:
        db: the shared store.
        name: this server; new with every start.
        take_over: puts the unfinished work of a server that is gone back into the queue; may be
            called by several servers, and more than once.
    """

    def __init__(self, db: Database, name: str, take_over: Callable[[str], None]) -> None:
        self._db = db
        self._name = name
        self._take_over = take_over
        self._seen: dict[str, tuple[int, int]] = {}

    def look_round(self) -> None:
        """Say that we live; find who does not, take over, and strike them off."""
        self._db.write(lambda tx: server_records.beat(tx, self._name))
        present = self._db.read(lambda tx: server_records.others(tx, self._name))
        looks: dict[str, tuple[int, int]] = {}
        for server, beat in present.items():
            known, same = self._seen.get(server, (beat, 0))
            looks[server] = (beat, same + 1 if beat == known else 1)
            if beat == server_records.STOPPED or looks[server][1] > _LOOKS:
                self._take_over(server)
                self._db.write(lambda tx, gone=server: server_records.forget(tx, gone))  # type: ignore[misc]
                del looks[server]
        self._seen = looks

    def leave(self) -> None:
        """Say that we have ended."""
        self._db.write(lambda tx: server_records.stopped(tx, self._name))
