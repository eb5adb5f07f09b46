"""A throw-away PostgreSQL for tests: on a Unix socket in a temporary folder, gone at the end.

Nothing of it is synced to disk: it survives ``kill`` and ``pg_ctl restart``, not a power cut.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_SETTINGS = """
listen_addresses = ''
fsync = off
full_page_writes = off
max_connections = 100
shared_buffers = 32MB
autovacuum = off
log_min_messages = fatal
"""
_USERS = ("postgres", "nobody")
_BURY = """read -r _; "$1" stop -D "$2/data" -m immediate -s; rm -rf "$2" """


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``; None when PostgreSQL is not on this machine."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    return None


class Cluster:
    """A running PostgreSQL.

    Args:
        folder: empty, with a short path (it holds the socket); removed by whoever made it.
        programs: where ``initdb`` and ``pg_ctl`` are.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._data = folder / "data"
        self._user = _unprivileged()
        self._numbers = count(1)
        self._template = ""
        self._one = threading.Lock()
        if self._user:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._run("initdb", "-D", self._data, "-U", "stile", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"{_SETTINGS}unix_socket_directories = '{folder}'\n")
        self.start()

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://stile@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run("pg_ctl", "start", "-D", self._data, "-w", "-t", "30", "-s", "-l", self._folder / "log")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` is a crash: the next start recovers."""
        self._run("pg_ctl", "stop", "-D", self._data, "-w", "-s", "-m", mode)

    def restart(self) -> None:
        """Crash and start again."""
        self.stop()
        self.start()

    def fresh(self) -> str:
        """The address of a new database with today's tables and nothing in them."""
        with self._one:
            if not self._template:
                self._template = "stile_template"
                self._make(self._template, "template0")
                from stile.store.postgres import PostgresDatabase  # noqa: PLC0415  needs the extra

                PostgresDatabase(self.url(self._template)).close()
            name = f"stile_{next(self._numbers)}"
            self._make(name, self._template)
        return self.url(name)

    def empty(self) -> str:
        """The address of a new database without tables."""
        name = f"stile_{next(self._numbers)}"
        self._make(name, "template0")
        return self.url(name)

    def _make(self, name: str, template: str) -> None:
        import psycopg  # noqa: PLC0415  needs the extra

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(  # noqa: S603  our own arguments
            [str(self._programs / program), *map(str, arguments)],
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-800:]}")


@contextmanager
def throwaway_cluster() -> Iterator[Cluster]:
    """A PostgreSQL for the length of the block.

    Raises:
        FileNotFoundError: no PostgreSQL on this machine.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="stile-pg-"))
    # The undertaker waits for the end of its input, which comes however this process ends.
    undertaker = subprocess.Popen(  # noqa: S603  our own arguments
        ["/bin/sh", "-c", _BURY, "sh", str(programs / "pg_ctl"), str(folder)],
        user=_unprivileged(),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Cluster(folder, programs)
    finally:
        undertaker.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str | None:
    """Whom to run it as: PostgreSQL refuses root. None keeps the present user."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(user for user in _USERS if user in known)
