"""Every page, in both themes, by axe: nothing to complain of; and no page is wider than the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from axe_selenium_python import Axe
from axe_selenium_python.axe import _DEFAULT_SCRIPT
from page_list import NAMES, OF_OPERATORS, address
from web_world import World

from stile.web import build_assets

pytestmark = pytest.mark.browser

_AXE = build_assets.WORK / "node_modules" / "axe-core" / "axe.min.js"
"""Comes with the tools that build the assets; the one of the Python package is years older."""

_TAGS = ["wcag2a", "wcag2aa", "best-practice"] + (["wcag21a", "wcag21aa", "wcag22aa"] if _AXE.exists() else [])
_RUN = """
const done = arguments[arguments.length - 1];
axe.run({runOnly: {type: "tag", values: arguments[0]}}).then(done, (error) => done({error: String(error)}));
"""


@pytest.fixture(scope="module", autouse=True)
def signed_in(browser, world: World) -> None:
    browser.sign_in(world, "cora")
    browser.go(f"/evidence/{world.evidence}.json")
    text = browser.driver.execute_script("return document.body.innerText")
    world.graph = json.loads(text)["evidence"]["graphs"][0]["spec"]


@pytest.fixture
def may_look(name: str, browser, world: World) -> Iterator[None]:
    """Pages of operators are looked at by the local user, who is one."""
    if name in OF_OPERATORS:
        browser.driver.delete_all_cookies()
    yield
    if name in OF_OPERATORS:
        browser.sign_in(world, "cora")


@pytest.mark.usefixtures("may_look")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", [*NAMES, *OF_OPERATORS])
def test_axe_finds_nothing(name: str, theme: str, browser, world: World) -> None:
    browser.size(1280)
    path = address(name, world)
    browser.go(path + ("&" if "?" in path else "?") + f"theme={theme}")
    for summary in browser.driver.find_elements("css selector", "main details > summary")[:40]:
        browser.driver.execute_script("arguments[0].parentElement.open = true", summary)
    Axe(browser.driver, str(_AXE) if _AXE.exists() else _DEFAULT_SCRIPT).inject()
    report = browser.driver.execute_async_script(_RUN, _TAGS)
    assert "error" not in report, report
    said = [
        f"{each['id']}: {each['help']} {[node['html'][:160] for node in each['nodes'][:3]]}"
        for each in report["violations"]
    ]
    assert said == []
    assert browser.complaints() == []


@pytest.mark.usefixtures("may_look")
@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("name", [*NAMES, *OF_OPERATORS])
def test_page_fits_the_screen(name: str, width: int, browser, world: World) -> None:
    browser.size(width)
    browser.go(address(name, world))
    inner, outer = browser.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert inner <= outer
