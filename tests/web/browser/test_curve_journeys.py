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
    assert browser.find("[data-logged] time").text in ("now", "0 s ago")
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


@pytest.fixture(scope="module")
def many(world: World) -> str:
    """A run with 300 metrics in five groups, each of 20 steps."""
    run = begun(world, "many metrics")
    names = [f"{('', 'train/', 'valid/', 'test/', 'system/')[at % 5]}m{at:03}" for at in range(300)]
    for start in range(0, 300, 50):
        metrics = [point for at in range(start, start + 50) for point in points(names[at], [at + s for s in range(20)])]
        log(world, run, metrics=metrics)
    ended(world, run)
    return run


NODES = "return document.getElementsByTagName('*').length"


def test_run_with_300_metrics_is_light_and_its_search_finds_all(browser, world: World, many: str) -> None:
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/runs/{many}")
    browser.driver.execute_script("window.sameLoad = true")
    browser.driver.execute_script("document.getElementById('curves').scrollIntoView()")
    browser.until("return document.querySelectorAll('figure[data-curve] canvas').length > 3")
    assert browser.driver.execute_script(NODES) < 1500
    assert len(browser.driver.find_elements("css selector", "[data-rows=metrics] tr[data-name]")) == 60
    assert len(browser.driver.find_elements("css selector", "figure[data-curve]")) == 24
    search = browser.find("#metrics input[data-narrows]")
    search.send_keys("M299")
    browser.until("return document.querySelector('td[data-latest=\"system/m299\"]') !== null")
    assert browser.find("form[data-look] input[name=find]").get_attribute("value") == "M299"
    assert "find=M299" in browser.driver.current_url
    browser.find("[data-group=system] summary").click()
    browser.until(DRAWN.format("system/m299"))
    assert search.get_attribute("value") == "M299"
    search.clear()
    search.send_keys("m00")
    browser.until("return document.querySelectorAll('[data-rows=metrics] tr[data-name]').length === 10")
    search.send_keys(3 * "\b")
    browser.until("return document.querySelectorAll('[data-rows=metrics] tr[data-name]').length === 60")
    browser.until("return document.querySelectorAll('figure[data-curve]').length === 84")
    assert "open=system" in browser.driver.current_url, "what was opened stays"
    assert browser.driver.execute_script("return window.sameLoad") is True
    assert browser.complaints() == []


def test_what_is_folded_is_loaded_when_asked_for(browser, world: World, many: str) -> None:
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/runs/{many}?smooth=0.5")
    browser.driver.execute_script("document.getElementById('curves').scrollIntoView()")
    browser.until("return document.querySelectorAll('figure[data-curve] canvas').length > 3")
    browser.driver.execute_script("window.sameLoad = true")
    browser.driver.execute_script("document.querySelector('figure[data-curve] canvas').dataset.before = '1'")
    browser.driver.execute_script("document.querySelector('#metrics a[data-unfold]').click()")
    browser.until("return document.querySelectorAll('[data-rows=metrics] tr[data-name]').length === 300")
    assert browser.driver.find_elements("css selector", "canvas[data-before]"), "what was drawn stays"
    browser.driver.execute_script("document.querySelector('[data-group=train] summary').click()")
    browser.until("return document.querySelectorAll('[data-group=train] figure').length === 60")
    for part in ("rows=all", "open=train", "smooth=0.5"):
        assert part in browser.driver.current_url
    browser.driver.refresh()
    browser.until("return document.querySelectorAll('[data-group=train] figure').length === 60")
    assert len(browser.driver.find_elements("css selector", "[data-rows=metrics] tr[data-name]")) == 300
    assert browser.complaints() == []


def test_folded_metrics_of_a_running_run_do_not_reload_its_page(browser, world: World) -> None:
    run = begun(world, "many that go on")
    names = [f"m{at:03}" for at in range(80)]
    log(world, run, metrics=[point for name in names for point in points(name, [1.0, 2.0])])
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/runs/{run}")
    browser.until(DRAWN.format("m000"))
    browser.driver.execute_script(
        "window.asked = 0; const plain = window.fetch;"
        "window.fetch = (what, ...rest) => { if (!String(what).includes('curves.json')) window.asked += 1;"
        " return plain(what, ...rest); }"
    )
    log(world, run, metrics=[point for name in names for point in points(name, [3.5], start=2)])
    browser.until("return document.querySelector('td[data-latest=m000]').textContent === '3.5000'")
    browser.until("return document.querySelector('figure[data-curve=m000] [data-finding]').textContent.includes('3.5')")
    assert browser.driver.execute_script("return window.asked") == 0
    ended(world, run)


def test_average_of_a_long_curve_is_asked_of_the_server(browser, world: World) -> None:
    run = begun(world, "long and noisy")
    for start in range(0, 3000, 1000):
        log(world, run, metrics=points("noisy", [float(at % 2) for at in range(1000)], start=start))
    ended(world, run)
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/runs/{run}")
    browser.until(DRAWN.format("noisy"))
    browser.driver.execute_script(
        "window.asked = []; const plain = window.fetch;"
        "window.fetch = (what, ...rest) => { window.asked.push(String(what)); return plain(what, ...rest); };"
        "const range = document.querySelector('form[data-look] input[name=smooth]');"
        "range.value = 0.9; range.dispatchEvent(new Event('input', {bubbles: true}));"
    )
    browser.until("return window.asked.some((url) => url.includes('curves.json') && url.includes('smooth=0.9'))")
    assert "smooth=0.9" in browser.driver.current_url
    assert browser.complaints() == []


def test_compared_curves_grow_without_a_reload(browser, world: World) -> None:
    pair = [begun(world, f"side by side {at}") for at in range(2)]
    for run in pair:
        log(world, run, metrics=points("loss", [1.0, 0.8]))
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/compare?run={pair[0]}&run={pair[1]}")
    browser.driver.execute_script("window.sameLoad = true; document.getElementById('curves').scrollIntoView()")
    browser.until(DRAWN.format("loss"))
    browser.driver.execute_script("document.querySelector('figure[data-curve=loss] canvas').dataset.before = '1'")
    log(world, pair[0], metrics=points("loss", [0.1], start=2))
    browser.until("return document.querySelector('figure[data-curve=loss] canvas:not([data-before])') !== null")
    for run in pair:
        ended(world, run)
    browser.until("return document.querySelector('[data-stream]') === null", seconds=15)
    assert browser.driver.execute_script("return window.sameLoad") is True
    assert browser.complaints() == []


def test_numbers_that_come_live_read_as_those_of_the_page(browser, world: World) -> None:
    run = begun(world, "numbers")
    values = [0.25, -0.0451, 0.0, 7.0, 2500.04, 12295.62, -45678.91, 11173962.0, 11173962.4, 1.5e12, 0.000123, -1.23e-9]
    log(world, run, metrics=[point for at in range(len(values)) for point in points(f"n{at}", [1.0, 2.0])])
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go(f"/runs/{run}")
    browser.until(DRAWN.format("n0"))
    log(world, run, metrics=[p for at, value in enumerate(values) for p in points(f"n{at}", [value], start=2)])
    texts = "return [...document.querySelectorAll('td[data-latest]')].map((each) => each.textContent)"
    browser.until("return document.querySelector('td[data-latest=n0]').textContent === '0.2500'")
    live = browser.driver.execute_script(texts)
    browser.driver.refresh()
    assert live == browser.driver.execute_script(texts)
    ended(world, run)


def test_run_of_the_legend_is_read_in_the_chart(browser, world: World) -> None:
    runs = []
    for at in range(3):
        run = begun(world, f"legend {at}")
        log(world, run, metrics=points("loss", [1.0, 0.5 + at / 10]))
        ended(world, run)
        runs.append(run)
    browser.size(1280)
    browser.sign_in(world, "ada")
    browser.go("/compare?" + "&".join(f"run={run}" for run in runs))
    browser.driver.execute_script("document.getElementById('curves').scrollIntoView()")
    browser.until(DRAWN.format("loss"))
    rest = browser.find("#curves .readout").text
    browser.driver.execute_script("document.querySelectorAll('.legend [data-place] a')[1].focus()")
    browser.until("return document.querySelector('#curves .readout').textContent === 'legend 1 ends at 0.6000'")
    browser.driver.execute_script(
        "document.activeElement.blur(); document.querySelector('h1').dispatchEvent("
        "new PointerEvent('pointerover', {bubbles: true}))"
    )
    browser.until("return document.querySelector('#curves .readout').textContent === arguments[0]", rest)
    assert browser.complaints() == []
