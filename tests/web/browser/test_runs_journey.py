"""Looking for a run in a real browser: completions by keyboard, ticking, comparing, keeping a view."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys
from web_world import World

pytestmark = pytest.mark.browser

_OPTIONS = """
return [...document.querySelectorAll("[role=listbox]:not([hidden]) [role=option]")].map((each) => each.dataset.text)
"""
_WAITS = """
const options = [...document.querySelectorAll("[role=listbox]:not([hidden]) [role=option]")];
return options.some((each) => each.dataset.text === arguments[0]);
"""


@pytest.fixture
def field(browser, world: World):
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/experiments/{world.experiment_id}")
    return browser.find("input[name=filter]")


def _take(browser, field, typed: str, wanted: str) -> None:
    field.send_keys(typed)
    browser.until(_WAITS, wanted)
    for _ in range(browser.driver.execute_script(_OPTIONS).index(wanted) + 1):
        field.send_keys(Keys.ARROW_DOWN)
    chosen = field.get_attribute("aria-activedescendant")
    assert browser.find(f"#{chosen}").get_attribute("aria-selected") == "true"
    field.send_keys(Keys.ENTER)


def test_search_is_written_by_completions_and_kept_as_a_view(browser, world: World, field) -> None:
    _take(browser, field, "au", "metrics.auc")
    _take(browser, field, "", ">")
    field.send_keys("0.9 ")
    _take(browser, field, "", "and")
    _take(browser, field, "par", "params.model")
    _take(browser, field, "!", "!=")
    _take(browser, field, "'lo", "'logistic'")
    assert field.get_attribute("value") == "metrics.auc > 0.9 and params.model != 'logistic' "
    field.send_keys(Keys.ENTER)
    browser.until("return document.querySelectorAll('#runs tbody tr').length === 2")
    assert "params.model" in browser.driver.current_url

    compare = browser.find("[data-ticked]")
    assert not compare.is_enabled()
    browser.find("h1").click()
    for _ in range(2):
        browser.press("j")
        browser.press("x")
    browser.until("return document.querySelector('[data-ticked]').textContent === 'Compare 2 runs'")
    ids = {box.get_attribute("value") for box in browser.driver.find_elements("css selector", "[data-tick]:checked")}
    target = browser.driver.execute_script(
        "const f = document.getElementById('ticked');"
        "return f.action.replace(location.origin, '') + '?' + new URLSearchParams(new FormData(f))"
    )
    assert target.startswith("/compare?run=")
    assert {pair.removeprefix("run=") for pair in target.removeprefix("/compare?").split("&")} == ids
    assert len(ids) == 2

    browser.find(".head details.pick summary").click()
    browser.find("form[action$='/views'] input[name=name]").send_keys("not logistic")
    browser.find("form[action$='/views'] button").click()
    browser.until("return document.querySelector('[role=status]')?.textContent.includes('not logistic')")
    assert browser.find("input[name=filter]").get_attribute("value").startswith("metrics.auc > 0.9 and params.model")
    views = world.call("GET", f"/api/v1/experiments/{world.experiment_id}/views", by="ada")["views"]
    assert [view["name"] for view in views] == ["not logistic"]
    browser.find(".head details.pick summary").click()
    browser.find("form[action$='/delete'] button").click()
    browser.until("return document.querySelector('[role=status]')?.textContent.includes('deleted')")
    assert browser.complaints() == []


def test_completions_close_and_leave_the_text_alone(browser, field) -> None:
    field.send_keys("metr")
    browser.until(_WAITS, "metrics.auc")
    field.send_keys(Keys.ESCAPE)
    assert browser.driver.execute_script(_OPTIONS) == []
    assert browser.driver.execute_script("return document.activeElement.name") == "filter"
    assert field.get_attribute("value") == "metr"
    field.send_keys(Keys.ENTER)
    browser.until("return document.querySelector('#problem') !== null")
    assert field.get_attribute("value") == "metr"


def test_menus_open_one_at_a_time_and_close_by_escape(browser, field) -> None:
    menus = browser.driver.find_elements("css selector", ".tools details.pick > summary")
    menus[0].click()
    menus[1].click()
    assert len(browser.driver.find_elements("css selector", "details.pick[open]")) == 1
    menus[1].send_keys(Keys.ESCAPE)
    assert browser.driver.find_elements("css selector", "details.pick[open]") == []
    menus[0].click()
    browser.find("h1").click()
    assert browser.driver.find_elements("css selector", "details.pick[open]") == []


def test_menus_fit_a_phone(browser, field) -> None:
    browser.size(390, 844)
    try:
        for menu in browser.driver.find_elements("css selector", "details.pick > summary"):
            browser.driver.execute_script("arguments[0].click()", menu)
            edges = browser.driver.execute_script(
                "const box = arguments[0].nextElementSibling.getBoundingClientRect();"
                "return [box.left, box.right, document.documentElement.scrollWidth]",
                menu,
            )
            assert edges[0] >= 0, menu.text
            assert max(edges[1:]) <= 390, menu.text
    finally:
        browser.size(1280)


def test_pinned_run_stays_while_one_searches(browser, field) -> None:
    browser.driver.execute_script("document.querySelector('.pinning a').click()")
    browser.until("return document.querySelector('tr.pinned') !== null")
    name = browser.find("tr.pinned a.open").text
    search = browser.find("input[name=filter]")
    search.send_keys("metrics.auc > 0" + Keys.ENTER)
    browser.until("return location.search.includes('filter=')")
    browser.until("return document.querySelector('tr.pinned a.open')?.textContent === arguments[0]", name)
    assert browser.driver.find_elements("css selector", ".delta.better, .delta.worse")
    assert browser.complaints() == []


def test_ticks_stay_through_other_searches_until_they_are_cleared(browser, world: World, field) -> None:
    browser.driver.execute_script("sessionStorage.clear()")
    browser.driver.refresh()
    browser.until("return document.querySelector('[data-ticked-count]').textContent.startsWith('Tick runs')")
    for box in browser.driver.find_elements("css selector", "[data-tick]")[:2]:
        box.click()
    ticked = {box.get_attribute("value") for box in browser.driver.find_elements("css selector", "[data-tick]:checked")}
    assert browser.find("[data-ticked]").text == "Compare 2 runs"
    browser.find("input[name=filter]").send_keys("metrics.auc > 0.95" + Keys.ENTER)
    browser.until("return document.querySelectorAll('#runs tbody tr').length === 1")
    assert browser.find("[data-ticked]").text == "Compare 2 runs"
    assert "not on this page" in browser.find("[data-ticked-count]").text
    browser.go(f"/experiments/{world.experiment_id}?sort=metrics.auc+ASC&cols=max(metrics.auc)")
    boxes = browser.driver.find_elements("css selector", "[data-tick]:checked")
    assert {box.get_attribute("value") for box in boxes} == ticked
    browser.go(f"/experiments/{world.experiment_id}?filter=metrics.auc+%3E+0.95")
    browser.find("[data-ticked]").click()
    browser.until("return location.pathname === '/compare'")
    assert all(run in browser.driver.current_url for run in ticked)
    assert "2 runs compared" in browser.find("h1").text
    browser.go(f"/experiments/{world.experiment_id}")
    browser.until("return document.querySelectorAll('[data-tick]:checked').length === 2")
    browser.find("[data-untick]").click()
    assert browser.driver.find_elements("css selector", "[data-tick]:checked") == []
    assert not browser.find("[data-untick]").is_displayed()
    browser.driver.refresh()
    assert browser.driver.find_elements("css selector", "[data-tick]:checked") == []
    assert browser.complaints() == []


def test_ticked_runs_are_tagged_deleted_and_brought_back(browser, world: World) -> None:
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": "to be tidied"})
    path = f"/experiments/{made['experiment_id']}"
    for number in range(60):
        body = {"experiment_id": made["experiment_id"], "run_name": f"try {number}", "start_time": 1000 + number}
        world.call("POST", "/api/2.0/mlflow/runs/create", by="ada", json=body)
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(path)
    assert not browser.find("[data-bulk=Delete]").is_enabled()
    browser.find("[data-tick]").click()
    browser.find("[rel=next]").click()
    browser.until("return document.querySelectorAll('[data-tick]').length === 10")
    for box in browser.driver.find_elements("css selector", "[data-tick]")[:2]:
        box.click()
    browser.until("return document.querySelector('[data-bulk=Delete]').textContent === 'Delete 3 runs'")

    browser.find(".pick.up > summary").click()
    browser.find("input[name=tag_key]").send_keys("verdict")
    browser.find("input[name=tag_value]").send_keys("poor", Keys.ENTER)
    browser.until("return document.querySelector('[role=status]')?.textContent.includes('3 runs were tagged')")
    browser.until("return document.querySelector('[data-bulk=Delete]').textContent === 'Delete the ticked'")
    assert browser.driver.find_elements("css selector", "[data-tick]:checked") == []

    browser.go(f"{path}?filter=tags.verdict+%3D+'poor'")
    for box in browser.driver.find_elements("css selector", "[data-tick]"):
        box.click()
    browser.find("[data-bulk=Delete]").click()
    browser.until("return document.querySelector('[role=status]')?.textContent.includes('3 runs were deleted.')")
    assert "verdict" in browser.driver.current_url, "the same search"
    assert browser.driver.find_elements("css selector", "[data-tick]") == []
    browser.find("[role=status] button").click()
    browser.until("return document.querySelector('[role=status]')?.textContent.includes('3 runs were restored.')")
    assert len(browser.driver.find_elements("css selector", "[data-tick]")) == 3

    browser.find("[data-tick]").click()
    browser.find("[data-bulk=Delete]").click()
    browser.until("return document.querySelector('[role=status]')?.textContent.includes('1 run was deleted.')")
    browser.find("[data-tick]").click()
    browser.driver.refresh()
    browser.until("return document.querySelectorAll('[data-tick]:checked').length === 1")
    browser.find("a.aside").click()
    browser.until("return document.querySelector('[data-bulk=Restore]')?.textContent === 'Restore the ticked'")
    browser.find("[data-tick]").click()
    browser.find("[data-bulk=Restore]").click()
    browser.until("return document.querySelector('[role=status]')?.textContent.includes('1 run was restored.')")
    assert browser.complaints() == []


def test_whole_page_and_ranges_are_ticked_at_once_and_heads_stay_in_sight(browser, world: World) -> None:
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": "ticked at once"})
    for number in range(30):
        body = {"experiment_id": made["experiment_id"], "run_name": f"try {number}", "start_time": 1000 + number}
        world.call("POST", "/api/2.0/mlflow/runs/create", by="ada", json=body)
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/experiments/{made['experiment_id']}")
    whole = browser.find("[data-tick-all]")
    whole.click()
    browser.until("return document.querySelectorAll('[data-tick]:checked').length === 30")
    assert browser.find("[data-ticked]").text == "Compare 30 runs"
    boxes = browser.driver.find_elements("css selector", "[data-tick]")
    boxes[4].click()
    assert browser.driver.execute_script("return document.querySelector('[data-tick-all]').indeterminate")
    whole.click()
    browser.until("return document.querySelectorAll('[data-tick]:checked').length === 30")
    whole.click()
    browser.until("return document.querySelectorAll('[data-tick]:checked').length === 0")
    boxes[2].click()
    browser.driver.execute_script(
        "arguments[0].dispatchEvent(new MouseEvent('click', {shiftKey: true, bubbles: true, cancelable: true}))",
        boxes[7],
    )
    browser.until("return document.querySelectorAll('[data-tick]:checked').length === 6")
    browser.driver.execute_script("scrollTo(0, 500)")
    edges = browser.driver.execute_script(
        "return [document.querySelector('thead th').getBoundingClientRect().top,"
        " document.querySelector('.top').getBoundingClientRect().bottom]"
    )
    assert abs(edges[0] - edges[1]) <= 2, "the heads stand below the bar of the page"
    browser.find("[data-untick]").click()
    assert browser.complaints() == []


def test_refusal_keeps_the_ticks(browser, world: World) -> None:
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": "refused"})
    ids = []
    for number in range(3):
        body = {"experiment_id": made["experiment_id"], "run_name": f"try {number}", "start_time": 1000 + number}
        ids.append(world.call("POST", "/api/2.0/mlflow/runs/create", by="ada", json=body)["run"]["info"]["run_id"])
    browser.sign_in(world, "ada")
    path = f"/experiments/{made['experiment_id']}?sort=start_time+ASC"
    browser.go(path)
    for box in browser.driver.find_elements("css selector", "[data-tick]"):
        box.click()
    browser.find(".pick.up > summary").click()
    browser.find("input[name=tag_key]").send_keys("mlflow.user")
    browser.find("input[name=tag_value]").send_keys("somebody else", Keys.ENTER)
    browser.until("return document.querySelector('#refused') !== null")
    assert "nothing was changed" in browser.find("#refused").text
    assert "sort=start_time+ASC" in browser.driver.current_url
    boxes = browser.driver.find_elements("css selector", "[data-tick]:checked")
    assert {box.get_attribute("value") for box in boxes} == set(ids)
    browser.find("[data-untick]").click()
