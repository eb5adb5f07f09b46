"""A real Chromium for each session; skipped, loudly, where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from web_world import World

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
    "--window-size=1280,900",
)  # fmt: skip


class Browser:
    """Chromium, signed in as somebody."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def go(self, path: str) -> None:
        """Open a page; what the console says from then on is about it."""
        self.driver.get(self.url + path)

    def sign_in(self, world: World, name: str) -> None:
        """Become somebody, by the form."""
        self.driver.delete_all_cookies()
        self.go("/sign-in")
        self.find("form.fields input[name=name]").send_keys(name)
        self.find("form.fields input[name=password]").send_keys(world.passwords[name])
        self.find("form.fields button").click()
        self.until("return document.querySelector('.menu > summary')?.textContent.includes(arguments[0])", name)

    def find(self, selector: str) -> webdriver.remote.webelement.WebElement:
        """The first element that fits."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def until(self, script: str, *arguments: object, seconds: float = 10) -> None:
        """Wait for a script to say yes."""
        WebDriverWait(self.driver, seconds).until(lambda driver: driver.execute_script(script, *arguments))

    def press(self, keys: str) -> None:
        """Type keys at the page, not into a field."""
        self.driver.switch_to.active_element.send_keys(keys)

    def size(self, width: int, height: int = 900) -> None:
        """The size of the screen; narrow ones are phones."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def complaints(self) -> list[str]:
        """What the console complained of since it was asked last."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture(scope="session")
def browser(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium, chromedriver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("NO BROWSER TESTS: chromium is missing (apt-get install chromium chromium-driver)")
    options = Options()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium') / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(Path(chromedriver))))
    try:
        yield Browser(driver, world.url)
    finally:
        driver.quit()
