"""Runs in a real browser: curves that grow by themselves, are searched, zoomed and sent to others; runs compared."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import Select
from test_run_pages import begun, ended, experiment, log, points
from web_world import World

pytestmark = pytest.mark.browser

DRAWN = "return document.querySelector('figure[data-curve=\"{}\"] canvas') !== null"


def test_curves_of_a_running_run_grow_without_a_reload(browser, world: World) -> None:
    run = begun(world, "still running")
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/runs/{run}")
    browser.driver.execute_script("window.sameLoad = true")
    assert "Nothing logged yet" in browser.find("main").text
    log(world, run, metrics=points("loss", [1.0, 0.8, 0.6]), params=[{"key": "lr", "value": "0.1"}])
    browser.until(DRAWN.format("loss"))
    assert "lr" in browser.find("#parameters").text
    browser.find("form[data-look] input[name=log]").click()
    log(world, run, metrics=points("loss", [0.25], start=3))
    browser.until("return document.querySelector('td[data-latest=loss]').textContent === '0.2500'")
    browser.until("return document.querySelector('td[data-step=loss]').textContent === '3'")
    browser.until(
        "return document.querySelector('figure[data-curve=loss] [data-finding]').textContent.includes('0.25')"
    )
    log(world, run, metrics=points("valid/auc", [0.7, 0.8]))
    browser.until(DRAWN.format("valid/auc"), seconds=15)
    assert browser.find("form[data-look] input[name=log]").is_selected(), "what was chosen stays"
    ended(world, run)
    browser.until("return document.querySelector('.verdict-line').textContent.includes('finished')", seconds=15)
    assert browser.driver.execute_script("return window.sameLoad") is True
    assert browser.complaints() == []


def test_view_of_curves_is_kept_in_the_address(browser, world: World) -> None:
    browser.size(1280)
    browser.sign_in(world, "cora")
    browser.go(f"/runs/{world.run_id}")
    browser.until(DRAWN.format("loss"))
    browser.press("l")
    browser.until("return location.search.includes('log=1')")
    browser.driver.execute_script("document.querySelector('figure[data-curve=loss] canvas').dataset.before = '1'")
    browser.find("form[data-look] input[value=relative]").click()
    browser.until("return location.search.includes('x=relative')")
    browser.until("return document.querySelector('figure[data-curve=loss] canvas:not([data-before])') !== null")
    plot = browser.find("figure[data-curve=loss] .u-over")
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    ActionChains(browser.driver).move_to_element_with_offset(plot, -40, 0).click_and_hold().move_by_offset(
        80, 0
    ).release().perform()
    browser.until("return location.search.includes('from=') && location.search.includes('to=')")
    there = browser.driver.current_url.removeprefix(browser.url)
    browser.go(there)
    browser.until(DRAWN.format("loss"))
    assert browser.find("form[data-look] input[value=relative]").is_selected()
    assert browser.find("[data-unzoom]").is_displayed()
    browser.find("[data-unzoom]").click()
    browser.until("return !location.search.includes('from=')")
    search = browser.find("form[data-look] input[name=find]")
    search.send_keys("nothing like it")
    browser.until("return document.querySelector('figure[data-curve]').hidden")
    assert "find=nothing" in browser.driver.current_url
    assert browser.complaints() == []


def test_runs_are_compared_from_a_link(browser, world: World) -> None:
    browser.size(1280)
    browser.sign_in(world, "cora")
    browser.go(f"/runs/{world.run_id}")
    Select(browser.find("#baseline")).select_by_value(world.other_run_id)
    browser.until("return location.search.includes('baseline=')")
    browser.driver.find_element("link text", "Compare in full").click()
    browser.until("return location.pathname === '/compare'")
    assert "2 runs compared" in browser.find("h1").text
    browser.until(DRAWN.format("loss"))
    assert browser.find("figure[data-shape=wide] .readout").text.startswith("2 runs.")
    assert "max_depth" in browser.find("#params").text
    assert "seed" not in browser.find("#params").text
    browser.press("a")
    browser.until("return location.search.includes('all=1')")
    assert "seed" in browser.find("#params").text
    assert browser.complaints() == []


def test_html_of_a_run_runs_no_script(browser, world: World) -> None:
    run = begun(world, "with a report")
    url = f"/api/2.0/mlflow-artifacts/artifacts/{experiment(world)}/{run}/artifacts/report.html"
    script = b"document.getElementById('h').textContent = 'RAN'; parent.document.title = 'RAN'"
    page = b"<h1 id=h>Report</h1><script>" + script + b"</script>"
    world.call("PUT", url, by="ada", content=page)
    browser.sign_in(world, "ada")
    browser.go(f"/runs/{run}/files/report.html")
    browser.driver.switch_to.frame(browser.find("iframe.file"))
    try:
        assert browser.find("#h").text == "Report"
    finally:
        browser.driver.switch_to.default_content()
    assert browser.driver.title.startswith("report.html")
    browser.go(f"/runs/{run}/raw/report.html")
    assert browser.find("#h").text == "Report"
    assert all("script" in said.lower() for said in browser.complaints()), "only that scripts were blocked"
