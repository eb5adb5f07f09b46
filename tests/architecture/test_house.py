"""The shape of the house: sizes, rooms, what must not be imported when, what must not be committed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "stile"
LONGEST_MODULE = 600


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "node_modules" not in path.parts)


def committed() -> list[Path]:
    try:
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    too_long = {
        str(path.relative_to(SOURCE)): lines
        for path in modules()
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_MODULE
    }
    assert too_long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(SOURCE))
        for path in modules()
        if (text := path.read_text("utf-8").strip()) and not text.startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_nobody_adds_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "managers"}
    assert [str(path) for path in modules() if path.stem in drawers or path.parent.name in drawers] == []


def test_pure_storeys_ask_neither_clock_nor_chance() -> None:
    """Time and randomness are passed in; only the two sources of them may ask the machine."""
    pattern = re.compile(r"\b(time\.time|time\.time_ns|datetime\.now|datetime\.utcnow|random\.random|uuid\.uuid4)\(")
    allowed = {"kernel/clock.py"}
    rooms = ("kernel", "store", "people", "data", "train", "govern", "monitor", "board")
    asking = [
        f"{path.relative_to(SOURCE)}:{number}"
        for room in rooms
        for path in sorted((SOURCE / room).rglob("*.py"))
        if str(path.relative_to(SOURCE)) not in allowed
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert asking == []


def test_sql_stays_in_records_when_verbs_grow() -> None:
    """Protocol adapters, pages and commands hold no SQL."""
    statement = re.compile(r'["\'](SELECT|INSERT|UPDATE|DELETE) .*\b(FROM|INTO|SET)\b')
    found = [
        f"{path.relative_to(SOURCE)}:{number}"
        for room in ("edge", "protocols", "web", "cli", "client", "project")
        for path in sorted((SOURCE / room).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if statement.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("module", ["stile.app", "stile.cli"])
def test_heavy_libraries_stay_out_when_something_starts(module: str) -> None:
    heavy = ["dbos", "polars", "sqlalchemy", "sklearn", "pandas", "onnxruntime", "mlflow", "scipy"]
    if module == "stile.cli":
        heavy += ["numpy", "httpx", "starlette", "uvicorn", "rich.progress", "rich.table"]
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"


def test_every_route_of_the_server_declares_its_permission() -> None:
    from stile.app import routes
    from stile.edge.route import check_table
    from stile.kernel.permission import Permission

    table = check_table(routes())
    assert len(table) > 20
    assert all(isinstance(route.permission, Permission) for route in table)


def test_public_routes_are_few_and_known() -> None:
    from stile.app import routes
    from stile.kernel.permission import Permission

    public = {route.path for route in routes() if route.permission is Permission.PUBLIC}
    unexpected = {path for path in public if not re.match(r"/(health|version|static/|favicon|api/v1/about|ping)", path)}
    # What the client asks before it has a credential, and "there is no such endpoint" in MLflow's words.
    unexpected -= {path for path in unexpected if path.endswith(("/mlflow/server-info", "/{rest:path}"))}
    unexpected -= {"/api/v1/transfers/{token}"}  # a signed address is its own credential
    assert unexpected == set()


def test_the_reference_pages_are_made_from_the_code() -> None:
    run = subprocess.run(
        [sys.executable, "scripts/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_links_between_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if not target.startswith("http") and not (page.parent / target).exists()
    ]
    assert broken == []


def test_committed_files_name_no_registry_and_no_machine() -> None:
    # Written in pieces so that this file does not find itself.
    registries = ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org", "deb." + "debian.org"]
    paths = re.compile(r"(^|[^A-Za-z0-9_.])/" + r"(work|farm)/")
    offences = []
    for path in committed():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        offences += [f"{path.relative_to(ROOT)}: {host}" for host in registries if host in text]
        if paths.search(text):
            offences.append(f"{path.relative_to(ROOT)}: a path of one machine")
    assert offences == []


def test_third_party_code_is_never_committed() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in committed()
        if re.search(r"\.min\.(js|css)$|/node_modules/|/vendor/|third_party", str(path.relative_to(ROOT)))
    ]
    assert found == []


def test_every_route_of_our_own_api_is_described() -> None:
    from stile.app import routes
    from stile.protocols.rest.openapi import describe

    table = [route for route in routes() if route.path.startswith("/api/v1/")]
    document = describe(table)
    described = sum(len(methods) for methods in document["paths"].values())
    assert described == len(table)
    assert [f"{route.method} {route.path}" for route in table if not route.summary] == []
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
