"""What a story needs: a place to stand, processes that are ended again, words, and checks that are counted."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from stile.cli.outcome import run_command
from stile.cli.root import stile

STILE = Path(sys.executable).with_name("stile")


class Stage:
    """Tells the story and keeps count.

    Attributes:
        folder: everything of this run lies in it; ``data_dir`` is the server's part.
        checks, failures: how many claims were checked, and those that did not hold.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.data_dir = folder / "server"
        self.tokens: dict[str, str] = {}
        self.checks = 0
        self.failures: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = 120
        self._started = time.monotonic()

    # words

    def chapter(self, number: int, title: str) -> None:
        """A new part of the story."""
        self.console.print()
        self.console.rule(Text(f"{number}. {title}", style="bold"), align="left")

    def say(self, line: str) -> None:
        """A sentence."""
        self.console.print(Text(line))

    def check(self, claim: str, holds: object, shown: object = "") -> bool:
        """Count a claim; one that does not hold is told and remembered."""
        self.checks += 1
        line = Text("  ✓ " if holds else "  ✗ ", style="green" if holds else "bold red")
        line.append(claim, style="" if holds else "bold red")
        if shown != "":
            line.append(f"  {shown}", style="dim")
        self.console.print(line)
        if not holds:
            self.failures.append(claim)
        return bool(holds)

    @contextlib.contextmanager
    def progress(self, says: str, total: int) -> Iterator[Any]:
        """A bar; call what is given once per done piece."""
        columns = (TextColumn("  {task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as bars:
            task = bars.add_task(says, total=total)
            yield lambda: bars.advance(task)

    def seconds(self) -> float:
        """Since the story began."""
        return time.monotonic() - self._started

    # commands, exactly as a person would type them

    def stile(self, *words: str, by: str = "", quiet: bool = False) -> tuple[int, str]:
        """Run a ``stile`` command as a person; returns its exit code and what it printed."""
        where = ["--url", self.url, "--token", self.tokens.get(by, "")]
        local = words[:2] in (("data", "check"), ("contract", "infer")) or words[0] in ("init", "predict")
        if not quiet:
            shown = " ".join(self._shown(word) for word in words)
            self.console.print(Text(f"  {by or 'anybody'} $ stile {shown}", style="cyan"))
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = run_command(stile, [*words, *([] if local else where)])
        return code, out.getvalue().strip()

    def answer(self, *words: str, by: str = "") -> Any:
        """The JSON a ``stile`` command prints; a command that fails ends the story."""
        code, said = self.stile(*words, "--json", by=by)
        if code not in (0, 1, 2) or not said.startswith(("{", "[")):
            raise SystemExit(f"stile {' '.join(words)} failed ({code}): {said}")
        return msgspec.json.decode(said)

    def _shown(self, word: str) -> str:
        """A word of a command line as a person in the run's folder would type it; digests and ids are cut."""
        word = word.replace(f"{self.folder}/", "")
        if word.startswith(("sha256:", "prm_", "pred_")):
            return word[:18] + "..."
        return word if all(c.isalnum() or c in "-_./:=" for c in word) else f'"{word}"'

    # processes

    def start(self, name: str, *words: str, env: dict[str, str], ready: str) -> float:
        """Start ``stile ...`` as a process of its own; returns the seconds until its ready line."""
        began = time.monotonic()
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [str(STILE), *words], stdout=subprocess.PIPE, stderr=log, env=os.environ | env, cwd=self.folder
        )
        self.processes[name] = process
        assert process.stdout is not None
        for line in process.stdout:
            if ready in line.decode():
                return time.monotonic() - began
        code = process.wait()
        raise SystemExit(
            f"{name} did not start (exit code {code}): {(self.folder / f'{name}.log').read_text()[-2000:]}"
        )

    def start_server(self) -> float:
        """Start the server on this run's data; returns the seconds until it answers."""
        port = self.url.rsplit(":", 1)[1]
        return self.start("server", "up", "--port", port, "--data", str(self.data_dir), env={}, ready="is ready")

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self, name: str) -> int:
        """Ask a process to stop; returns its exit code."""
        process = self.processes.pop(name, None)
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def end_all(self) -> None:
        """Leave no process behind."""
        for name in list(self.processes):
            self.end(name)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
