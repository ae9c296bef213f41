"""A real browser, where there is one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["chrome", "show_from_cache"]

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chrome() -> Iterator[Chrome]:
    """Start a browser without any cookies, or skip the test and say why."""
    if BROWSER is None or DRIVER is None:
        pytest.skip(
            "there is no chromium with its driver: apt-get install chromium chromium-driver"
        )
    if find_spec("selenium") is None:
        pytest.skip("selenium is not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def cache_status(driver: Chrome) -> str:
    """Tell what the cache did for the page that was shown last, by its own header."""
    for entry in reversed(driver.get_log("performance")):
        message = json.loads(entry["message"])["message"]
        shown = message["params"]
        if message["method"] == "Network.responseReceived" and shown["type"] == "Document":
            headers = {name.lower(): value for name, value in shown["response"]["headers"].items()}
            return str(headers.get("cache-status", ""))
    return ""


def show_from_cache(driver: Chrome, url: str, target: str) -> None:
    """Show a page until it comes from the cache, a few times at most."""
    for _ in range(6):
        driver.get(url + target)
        status = cache_status(driver)
        if "; hit" in status:
            return
    raise AssertionError(status)
