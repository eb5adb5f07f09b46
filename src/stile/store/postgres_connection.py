"""How Stile talks to PostgreSQL: connections with one set of types, placeholders, errors in Stile's words.

Values come and go as on SQLite, so that records are written once: whole numbers are 64 bits, truth
values are 0 and 1, NaN is stored as NULL, sums of whole numbers are whole numbers, bytes are bytes.
"""

from __future__ import annotations

import math
import re
import time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from stile.kernel.errors import Corrupt, Invalid, MissingExtra, StileError, StorageFull, TooLarge, Unavailable
from stile.kernel.settings import without_secrets
from stile.store.unstorable import NOT_STORABLE, has_nul, in_words

try:
    import psycopg
    from psycopg import adapt, errors
    from psycopg.types import bool as bools
    from psycopg.types import numeric
except ImportError as error:
    raise MissingExtra("psycopg", "postgres", "Keeping the store in PostgreSQL") from error

Connection = psycopg.Connection[tuple[Any, ...]]

STARTING = (errors.CannotConnectNow, errors.CrashShutdown, errors.AdminShutdown)
AGAIN = (errors.SerializationFailure, errors.DeadlockDetected)
_CONNECT_TIMEOUT_S = 5
_OLDEST = 130000
_PLACEHOLDER = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|\?""")


class _Float(numeric.FloatBinaryDumper):
    def dump(self, obj: Any) -> Any:
        return None if math.isnan(obj) else super().dump(obj)


class _Numeric(numeric.NumericLoader):
    def load(self, data: Any) -> Any:
        return _plain(super().load(data))


class _NumericBinary(numeric.NumericBinaryLoader):
    def load(self, data: Any) -> Any:
        return _plain(super().load(data))


class _Bool(bools.BoolLoader):
    def load(self, data: Any) -> Any:
        return int(super().load(data))


class _BoolBinary(bools.BoolBinaryLoader):
    def load(self, data: Any) -> Any:
        return int(super().load(data))


def _plain(number: Decimal) -> int | float:
    """Sums of whole numbers arrive as decimals without a fraction, averages with one."""
    return int(number) if number.is_finite() and number == number.to_integral_value() else float(number)


def _adapters() -> adapt.AdaptersMap:
    adapters = adapt.AdaptersMap(psycopg.adapters)
    for kind in (int, bool):
        adapters.register_dumper(kind, numeric.Int8BinaryDumper)
    adapters.register_dumper(float, _Float)
    adapters.register_loader("numeric", _Numeric)
    adapters.register_loader("numeric", _NumericBinary)
    adapters.register_loader("bool", _Bool)
    adapters.register_loader("bool", _BoolBinary)
    return adapters


class _Types:
    """The adaptation context every connection starts from."""

    adapters = _adapters()
    connection = None


@lru_cache(maxsize=4096)
def translated_sql(sql: str) -> str:
    """``?`` placeholders as PostgreSQL's ``$1, $2``; texts in quotes stay as they are."""
    count = 0

    def numbered(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] != "?":
            return match[0]
        count += 1
        return f"${count}"

    return _PLACEHOLDER.sub(numbered, sql)


def connect(url: str, *, session: str, wait_s: float = 0.0) -> Connection:
    """A connection in autocommit mode with Stile's types, after the statements in ``session``.

    Args:
        url: ``postgresql://user:password@host:port/database``.
        session: settings, as SQL statements.
        wait_s: how long to try again while the server is away or starting.

    Raises:
        Unavailable: it cannot be reached within that time.
        Invalid: it refuses for a reason that will not go away by itself.
    """
    deadline = time.monotonic() + wait_s
    pause = 0.02
    while True:
        try:
            connection: Connection = psycopg.connect(
                url,
                autocommit=True,
                context=_Types(),
                cursor_factory=psycopg.RawCursor,
                client_encoding="utf8",
                application_name="stile",
                connect_timeout=_CONNECT_TIMEOUT_S,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=20_000,
            )
        except psycopg.Error as error:
            refused = _refusal(url, error)
            if isinstance(refused, Invalid) or time.monotonic() + pause > deadline:
                raise refused from None  # the driver's own words may hold the password
            time.sleep(pause)
            pause = min(pause * 1.5, 0.3)
            continue
        try:
            connection.execute(session)
        except psycopg.Error as error:
            connection.close()
            if time.monotonic() > deadline:
                raise in_our_words(error) from error
            continue
        return connection


def check_server(connection: Connection) -> None:
    """Refuse a server or database that cannot hold a store.

    Raises:
        Invalid: it is too old, or does not keep UTF-8.
    """
    if connection.info.server_version < _OLDEST:
        raise Invalid(f"Stile needs PostgreSQL {_OLDEST // 10000} or newer; this is {connection.info.server_version}.")
    found = connection.execute("SHOW server_encoding").fetchone()
    if found is None or found[0] != "UTF8":
        raise Invalid(
            "The PostgreSQL database does not keep UTF-8. Create one with: "
            "CREATE DATABASE stile TEMPLATE template0 ENCODING 'UTF8'."
        )


def is_lost(connection: Connection, error: BaseException) -> bool:
    """Whether ``error`` means that this connection is gone, rather than that a statement failed."""
    return connection.closed or connection.broken or isinstance(error, STARTING)


def in_our_words(error: BaseException) -> BaseException:
    """The engine's error in Stile's words; what is not the engine's own stays as it is."""
    if isinstance(error, NOT_STORABLE):
        return in_words(error)
    if isinstance(error, StileError) or not isinstance(error, psycopg.Error):
        return error
    said = _first_line(error)
    if isinstance(error, errors.NumericValueOutOfRange):
        return in_words(OverflowError())
    if isinstance(error, errors.CharacterNotInRepertoire | errors.UntranslatableCharacter) or "NUL" in said:
        return has_nul()
    if isinstance(error, errors.DiskFull):
        return StorageFull("The disk of PostgreSQL is full, so nothing was stored. Free some space and try again.")
    if isinstance(error, errors.ProgramLimitExceeded):
        return TooLarge("A text is too long to be looked up by. Send a shorter one (at most 2000 bytes).")
    if isinstance(error, errors.QueryCanceled):
        return Unavailable("PostgreSQL took too long and was stopped. Ask for less at a time, or try again later.")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return Corrupt("PostgreSQL reports damaged data. Restore the last backup.")
    if isinstance(error, psycopg.OperationalError | errors.InsufficientPrivilege):
        return Unavailable(
            f"PostgreSQL cannot do this right now ({said}). Try again; ask its administrator if it stays."
        )
    return error


def _refusal(url: str, error: psycopg.Error) -> Unavailable | Invalid:
    where = without_secrets(url)
    said = _first_line(error)
    if isinstance(error, psycopg.ProgrammingError) or "connection option" in said:
        return Invalid(f"{where} is not an address of PostgreSQL. Write postgresql://user:password@host:port/database.")
    if 'role "' in said or "password authentication" in said or "no password supplied" in said:
        return Invalid(f"PostgreSQL refuses the user of {where}. Check the name and the password.")
    if 'database "' in said and "does not exist" in said:
        return Invalid(f"The database of {where} does not exist. Make it with: createdb {urlsplit(url).path[1:]}.")
    return Unavailable(f"PostgreSQL at {where} cannot be reached ({said}). Check that it runs and accepts connections.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).removeprefix("FATAL:").strip()
