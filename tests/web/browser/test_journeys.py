"""What people do in a real browser: approve, judge a prediction, go by keys, see a page change by itself."""

from __future__ import annotations

import time

import pytest
from selenium.webdriver.common.keys import Keys
from web_world import USE_CASE, World

pytestmark = pytest.mark.browser

GATE = f"/models/{USE_CASE}/versions/2/gate"


def test_product_manager_approves_with_a_reason(browser, world: World) -> None:
    browser.size(1280)
    browser.sign_in(world, "paula")
    browser.go("/")
    browser.find("a.open[href*='versions/2']").click()
    browser.until("return location.pathname.endsWith('/gate')")
    browser.find("#sign button.yes").click()
    assert browser.driver.current_url.endswith("/gate"), "without a reason the browser does not send it"
    browser.find("#sign textarea").send_keys("The queue gets shorter.")
    browser.find("#sign button.yes").click()
    browser.until("return document.querySelector('[role=status]') !== null")
    people = browser.find(".people-list").text
    assert "The queue gets shorter." in people
    assert browser.complaints() == []


def test_author_is_told_why_not(browser, world: World) -> None:
    browser.sign_in(world, "ada")
    browser.go(GATE)
    side = browser.find("aside[aria-label='Your part']").text
    assert "You cannot sign this one." in side
    assert browser.driver.find_elements("css selector", "#sign") == []


def test_expert_agrees_by_key_and_gets_the_next_one(browser, world: World) -> None:
    browser.sign_in(world, "dora")
    browser.go(f"/feedback?model={USE_CASE}")
    first = browser.find(".case .mono.soft").text
    waiting = int(browser.find(".progress strong").text)
    browser.press("a")
    browser.until("return document.querySelector('.case .mono.soft')?.textContent !== arguments[0]", first)
    assert int(browser.find(".progress strong").text) == waiting - 1
    said = world.call("GET", f"/api/v1/use-cases/{USE_CASE}/feedback")["feedback"]
    assert [(each["prediction"], each["person"], each["verdict"]) for each in said[:1]] == [(first, "dora", "agree")]


def test_expert_corrects_on_a_phone(browser, world: World) -> None:
    browser.size(390, 844)
    browser.sign_in(world, "dora")
    browser.go(f"/feedback?model={USE_CASE}")
    first = browser.find(".case .mono.soft").text
    browser.find("textarea[name=reason]").send_keys("The second reading says otherwise.")
    button = browser.find("button[value=correct]")
    assert button.rect["height"] >= 44, "a thumb finds it"
    button.click()
    browser.until("return document.querySelector('[role=status]') !== null")
    kept = world.call("GET", f"/api/v1/predictions/{first}")
    assert "expert" in str(kept), "an expert's correction is the truth"
    browser.size(1280)


def test_keys_lead_everywhere_and_leave_fields_alone(browser, world: World) -> None:
    browser.sign_in(world, "cora")
    browser.go("/")
    for keys, path in (("gp", "/portfolio"), ("gx", "/experiments"), ("gb", "/board"), ("gl", "/ledger"), ("gi", "/")):
        browser.press(keys)
        browser.until("return location.pathname === arguments[0]", path)
    browser.go(f"/experiments/{world.experiment_id}")
    browser.press("/")
    browser.until("return document.activeElement.name === 'filter'")
    browser.press("params.model = 'forest'")
    assert browser.find("input[name=filter]").get_attribute("value") == "params.model = 'forest'"
    browser.press(Keys.ENTER)
    browser.until("return document.querySelectorAll('#runs tbody tr').length === 1")
    assert "filter=" in browser.driver.current_url
    browser.press(Keys.ESCAPE)
    browser.press("j")
    browser.until("return document.activeElement.closest('tr[data-row]') !== null")
    browser.press("?")
    browser.until("return document.getElementById('keys').open")
    browser.press(Keys.ESCAPE)


def test_page_shows_by_itself_what_somebody_else_does(browser, world: World) -> None:
    browser.sign_in(world, "cora")
    browser.go(f"/board?use_case={USE_CASE}")
    browser.until("return document.getElementById('live-status').dataset.state === 'live'")
    world.call("POST", f"/api/v1/use-cases/{USE_CASE}/cards", by="paula", json={"title": "Appears by itself"})
    browser.until("return document.querySelector('.board').textContent.includes('Appears by itself')")
    browser.find("input[name=title]").send_keys("half typed")
    world.call("POST", f"/api/v1/use-cases/{USE_CASE}/cards", by="paula", json={"title": "Comes later"})
    time.sleep(1.2)
    assert browser.find("input[name=title]").get_attribute("value") == "half typed", "nothing is taken from the hands"
    assert browser.complaints() == []


def test_graphs_and_curves_draw_under_the_strict_policy(browser, world: World) -> None:
    browser.sign_in(world, "cora")
    browser.go(f"/runs/{world.run_id}")
    browser.driver.execute_script("document.querySelector('figure[data-vega]').scrollIntoView()")
    browser.until(
        "return document.querySelector('figure[data-vega] canvas, figure[data-vega] svg') !== null", seconds=20
    )
    browser.driver.execute_script("document.querySelector('figure[data-curve]').scrollIntoView()")
    browser.until("return document.querySelector('figure[data-curve] canvas') !== null")
    assert browser.complaints() == []


def test_theme_changes_at_once_and_stays(browser, world: World) -> None:
    browser.sign_in(world, "cora")
    browser.go("/portfolio")
    browser.find(".menu > summary").click()
    browser.find("a[data-theme-choice=dark]").click()
    browser.until("return document.documentElement.dataset.theme === 'dark'")
    dark = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.go("/decisions")
    assert browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor") == dark
    browser.find(".menu > summary").click()
    browser.find("a[data-theme-choice=light]").click()
    browser.until("return getComputedStyle(document.body).backgroundColor !== arguments[0]", dark)


def test_addresses_that_the_mlflow_client_prints_lead_to_the_page(browser, world: World) -> None:
    browser.size(1280)
    browser.sign_in(world, "ada")
    run, experiment = world.run_id, world.experiment_id
    for printed, page in (
        (f"/#/experiments/{experiment}/runs/{run}", f"/runs/{run}"),
        (f"/#/experiments/{experiment}/runs/{run}/artifacts", f"/runs/{run}"),
        (f"/#/experiments/{experiment}", f"/experiments/{experiment}"),
        (f"/#/experiments/{experiment}/traces", f"/experiments/{experiment}/traces"),
        (f"/#/experiments/{experiment}/traces?selectedEvaluationId={world.trace}", f"/traces/{world.trace}"),
        (f"/#/models/{USE_CASE}/versions/1", f"/models/{USE_CASE}"),
        (f'/#/compare-runs?runs=["{run}","{world.other_run_id}"]&experiments=["{experiment}"]', "/compare"),
    ):
        browser.go("/board")
        browser.go(printed)
        browser.until("return location.pathname === arguments[0]", page)
    assert "2 runs compared" in browser.find("h1").text
    for strange in ("/#/nothing/known", "/#main", "/#//evil.example/x"):
        browser.go("/board")
        browser.go(strange)
        browser.until("return document.readyState === 'complete' && location.pathname === '/'")


def test_printed_address_is_kept_through_the_sign_in(browser, world: World) -> None:
    browser.size(1280)
    browser.driver.delete_all_cookies()
    browser.go(f"/sign-in#/experiments/{world.experiment_id}/runs/{world.run_id}")
    browser.until("return document.querySelector('input[name=next]')?.value === arguments[0]", f"/runs/{world.run_id}")
