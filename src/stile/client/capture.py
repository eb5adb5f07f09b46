"""What a run was made with: commit, uncommitted changes, command, Python and packages. Enough to do it again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec

from stile.kernel.canonical import digest_bytes

_LARGEST_DIFF = 5_000_000
DIFF_PATH = "code/changes.patch"
REQUIREMENTS_PATH = "environment/requirements.txt"
ENVIRONMENT_PATH = "environment/environment.json"

FROM_FOLDER = "was installed from a folder"

COMMIT_TAG = "stile.commit"
DIFF_TAG = "stile.diff"
COMMAND_TAG = "stile.command"
FOLDER_TAG = "stile.folder"
UNKNOWN_TAG = "stile.unknown-files"
PYTHON_TAG = "stile.python"
ENVIRONMENT_TAG = "stile.environment"


class Captured(msgspec.Struct, frozen=True):
    """Tags and files (by artifact path) that describe code or environment."""

    tags: dict[str, str]
    files: dict[str, bytes]


def code(folder: Path, command: list[str] | None = None) -> Captured:
    """Commit, uncommitted changes and command, as far as ``folder`` is in a git checkout.

    New files that git does not know are not part of the changes; the tag ``stile.unknown-files`` counts them.
    Files of the checkout are named from ``folder`` in the command, so that another checkout runs its own.
    """
    words = command if command is not None else _own_command()
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return Captured({COMMAND_TAG: json.dumps(words)}, {})
    top = _git(folder, "rev-parse", "--show-toplevel").decode().strip()
    tags = {COMMAND_TAG: json.dumps([_in_checkout(word, folder) for word in words])}
    tags[COMMIT_TAG] = tags["mlflow.source.git.commit"] = commit.decode().strip()
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD").decode().strip()
    if branch and branch != "HEAD":
        tags["mlflow.source.git.branch"] = branch
    tags[FOLDER_TAG] = folder.resolve().relative_to(Path(top).resolve()).as_posix()
    diff = _git(folder, "diff", "HEAD", "--binary", "--no-color", "--no-ext-diff")
    unknown = len(_git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", ":/").splitlines())
    files: dict[str, bytes] = {}
    if len(diff) > _LARGEST_DIFF:
        tags[DIFF_TAG] = f"too large to keep ({len(diff)} bytes)"
    elif diff:
        files[DIFF_PATH] = diff
        tags[DIFF_TAG] = digest_bytes(diff)
    else:
        tags[DIFF_TAG] = "none"
    if unknown:
        tags[UNKNOWN_TAG] = str(unknown)
    return Captured(tags, files)


def environment() -> Captured:
    """Python, platform and every installed package with its version."""
    from importlib import metadata

    found = {(one.metadata["Name"] or "").lower(): one for one in metadata.distributions()}
    lines = [
        f"# {one.metadata['Name']}=={one.version} {FROM_FOLDER}"
        if _local(one)
        else f"{one.metadata['Name']}=={one.version}"
        for name, one in sorted(found.items())
        if name
    ]
    requirements = "".join(f"{line}\n" for line in lines).encode()
    described = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": len(lines),
    }
    tags = {PYTHON_TAG: platform.python_version(), ENVIRONMENT_TAG: digest_bytes(requirements)}
    files = {REQUIREMENTS_PATH: requirements, ENVIRONMENT_PATH: msgspec.json.encode(described)}
    return Captured(tags, files)


def installed_from(folder: Path) -> list[str]:
    """Packages that were installed from a folder in ``folder``, and so follow what is there now."""
    from importlib import metadata

    address = folder.resolve().as_uri()
    found = ((one, one.read_text("direct_url.json") or "") for one in metadata.distributions())
    return sorted({str(one.metadata["Name"]) for one, text in found if "dir_info" in text and f'"{address}' in text})


def _local(distribution: object) -> bool:
    """Whether a package was installed from a folder, which no index could give again."""
    text = distribution.read_text("direct_url.json")  # type: ignore[attr-defined]
    return bool(text) and "dir_info" in text


def started_in() -> Path:
    """The folder this program was started in, also when it has changed its folder since."""
    script, main = Path(sys.argv[0]), getattr(sys.modules.get("__main__"), "__file__", None)
    parts = Path(main).parts if main else ()
    if parts and Path(*parts).is_absolute() and script.parts and parts[-len(script.parts) :] == script.parts:
        folder = Path(*parts[: -len(script.parts)])
        if not script.is_absolute() and folder.is_dir():
            return folder
    return Path.cwd()


def _own_command() -> list[str]:
    """How this program was started, with ``python`` for whatever interpreter it was; workers as their parent was."""
    return ["python", *(sys.argv if "--multiprocessing-fork" in sys.orig_argv else sys.orig_argv[1:])]


def _in_checkout(word: str, folder: Path) -> str:
    """A word of a command; a file that git knows is named from ``folder``."""
    if not Path(word).is_absolute() or not Path(word).is_file():
        return word
    if not _git(folder, "ls-files", "--error-unmatch", "--", word):
        return word
    return Path(os.path.relpath(Path(word).resolve(), folder.resolve())).as_posix()


def _git(folder: Path, *arguments: str) -> bytes:
    """What git says; nothing when it is not there or this is no checkout."""
    try:
        done = subprocess.run(  # noqa: S603  fixed words
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout if done.returncode == 0 else b""
