"""A site in a process of its own, over a real server, and a real browser in front of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cachemw.testing import RedisServer

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SITE = Path(__file__).with_name("site.py")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
PAGES = (
    "/products/1",
    "/products/2",
    "/products/a-name-that-is-long" + "-and-longer" * 10,
    "/orders",
)


class Site:
    """The site's address, and its client without a session."""

    def __init__(self, url: str) -> None:
        self.url = url

    def cache_status(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as response:
            return str(response.headers["Cache-Status"])


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def site(redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    """Yield a site whose pages are cached, in Redis too."""
    command = [sys.executable, str(SITE), str(tmp_path), redis.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            site = Site(process.stdout.readline().strip())
            for path in PAGES:
                site.cache_status(path)
            yield site
        finally:
            process.kill()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    from selenium import webdriver

    if BROWSER is None or DRIVER is None:
        pytest.skip(
            "there is no chromium with its driver: apt-get install chromium chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Chrome) -> Chrome:
    """Give a browser that nobody has logged in with."""
    chromium.delete_all_cookies()
    show(chromium, 1280)
    chromium.get_log("browser")
    return chromium


def show(browser: Chrome, width: int, theme: str = "light") -> None:
    """Make the window so wide, and the person prefer a theme."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
