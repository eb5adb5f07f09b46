"""A transaction in PostgreSQL: statements that nobody waits for travel with the next one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stile.kernel.clock import Clock
from stile.kernel.ids import Ids
from stile.store.database import Row
from stile.store.postgres_connection import Connection, translated_sql
from stile.store.transaction import Transaction

_WALK = (
    "SELECT set_config('enable_sort', ?, true), "
    + ", ".join(
        f"set_config('{name}', 'off', true)"
        for name in ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit")
    )
    + ", set_config('max_parallel_workers_per_gather', '0', true), set_config('random_page_cost', '1.1', true)"
    + ", set_config('plan_cache_mode', 'force_custom_plan', true)"
)
"""Settings until the end of the transaction; they are costs for the planner, so what has no index still gets done.

A statement that was prepared is planned with its values: how few rows satisfy a clause decides what comes first.
"""


class PostgresTx(Transaction):
    """A transaction on one connection; see ``store.database.Tx`` for the promises.

    Args:
        connection, clock, ids: what it works with.
        waiting: statements that wait, shared by the writes of a group; they travel together. A failure among
            them leaves the driver in doubt about what it has prepared: ``broken`` says so.
    """

    __slots__ = (
        "_connection", "_cursor", "_in_order", "_together", "_waiting", "broken", "wrote",
    )  # fmt: skip
    keys_at_once = 500

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        ids: Ids,
        waiting: list[tuple[str, Sequence[Any]]] | None = None,
    ) -> None:
        super().__init__(clock, ids)
        self._connection = connection
        self._together = waiting is not None
        self._waiting: list[tuple[str, Sequence[Any]]] = [] if waiting is None else waiting
        self.broken = False
        self._in_order: bool | None = None
        self._cursor = connection.cursor(binary=True)
        self.wrote = False

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self._execute(sql, params)
        return self._cursor.fetchall()

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        self._execute(sql, params)
        return self._cursor.fetchone()

    def scalar(self, sql: str, params: Sequence[Any] = ()) -> Any:
        row = self.one(sql, params)
        return None if row is None else row[0]

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        self._execute(sql, params)
        return max(0, self._cursor.rowcount)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.wrote = True
        text = translated_sql(sql)
        self._waiting.extend((text, row) for row in rows)

    def walk_indexes(self, *, in_order: bool = False) -> None:
        if self._in_order is not in_order:
            self._in_order = in_order
            self._execute(_WALK, ("off" if in_order else "on",))

    def _execute(self, sql: str, params: Sequence[Any]) -> None:
        if not self.wrote and not sql.startswith("SELECT"):
            self.wrote = True
        if self._waiting:
            self.flush(then=((translated_sql(sql), params),))
        else:
            self._cursor.execute(translated_sql(sql), params)

    def flush(self, then: Sequence[tuple[str, Sequence[Any]]] = ()) -> None:
        """Send what waits and the statements of ``then``; the last one's answer can be read."""
        if not self._waiting and not then:
            return
        sent = (*self._waiting, *then)
        self._waiting.clear()
        if not self._together:
            for sql, params in sent:
                self._cursor.execute(sql, params)
            return
        try:
            with self._connection.pipeline():
                for sql, params in sent[:-1]:
                    self._connection.cursor(binary=True).execute(sql, params)
                self._cursor.execute(*sent[-1])
        except BaseException:
            self.broken = True
            raise
