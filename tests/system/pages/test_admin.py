"""The page in Django's admin, in a real browser: it can be used, and it can be read."""

from __future__ import annotations

import pytest

pytest.importorskip("selenium", reason="tests in a browser need selenium: tox run -e pages")
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from cachemw.testing import RedisServer

from .conftest import PAGES, Site, show

PAGE = "/admin/cachemw/cache/"
LIMIT = 20.0


def until(browser: Chrome, text: str) -> None:
    """Wait until the page says something: the one before it may still be there, or just be going."""
    WebDriverWait(browser, LIMIT).until(lambda _: text in said(browser), f"never: {text}")


def said(browser: Chrome) -> str:
    """Give what can be read."""
    return str(browser.execute_script("return document.body.innerText"))


def log_in(browser: Chrome, site: Site) -> None:
    browser.get(f"{site.url}/admin/")
    browser.find_element(By.NAME, "username").send_keys("operator")
    browser.find_element(By.NAME, "password").send_keys("of nobody else", Keys.ENTER)
    until(browser, "Recent actions")


def press(browser: Chrome, button: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f'input[type="submit"][value="{button}"]').click()


def rows(browser: Chrome, section: str) -> list[list[str]]:
    """Give the cells of a section's table."""
    found = browser.find_elements(By.CSS_SELECTOR, f'section[aria-labelledby="{section}"] tbody tr')
    return [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in found]


def test_an_operator_looks_tries_a_purge_and_purges(browser: Chrome, site: Site) -> None:
    assert "; hit" in site.cache_status("/products/1")
    log_in(browser, site)
    browser.find_element(By.LINK_TEXT, "Response cache").click()
    until(browser, "1 process in the last ten seconds")
    assert [row[:4] for row in rows(browser, "routes-title")] == [
        ["products", "/products/{name}", "low", "on"],
        ["orders", "/orders", "high", "on"],
    ]

    browser.find_element(By.LINK_TEXT, "products").click()
    until(browser, "3 found.")
    browser.find_element(By.LINK_TEXT, "product:1").click()
    until(browser, "1 found.")
    (entry,) = rows(browser, "entries-title")
    assert entry[:3] == [f"{site.url}/products/1", "products", "200"]

    browser.find_element(By.ID, "id_tags").send_keys("product:1\nproduct:2")
    press(browser, "Preview")
    until(browser, "This would touch 2 entries on 1 route")
    assert "; hit" in site.cache_status("/products/1")

    press(browser, "Yes, purge")
    until(browser, "Purged from this page")
    assert "Tags product:1, product:2: Purged" in said(browser)
    assert rows(browser, "history-title")[0][1] == "operator"
    assert "fwd=uri-miss" in site.cache_status("/products/1")
    assert "; hit" in site.cache_status("/orders")
    browser.refresh()
    assert rows(browser, "purges-title")[0][1:] == ["hard", "product:1 product:2"]


def test_it_can_be_used_by_keyboard_alone(browser: Chrome, site: Site) -> None:
    log_in(browser, site)
    browser.get(f"{site.url}{PAGE}")
    walk(browser, to="id_routes_1").send_keys(Keys.SPACE)
    walk(browser, to="id_way_0").send_keys(Keys.ARROW_DOWN)
    walk(browser, to="Preview").send_keys(Keys.ENTER)
    until(browser, "This will purge: route orders (soft).")
    walk(browser, to="Yes, purge").send_keys(Keys.ENTER)
    until(browser, "Route orders (soft): Purged softly")


def walk(browser: Chrome, *, to: str) -> WebElement:
    """Press Tab until something with that id, or that button, has the focus."""
    for _ in range(60):
        focused = browser.switch_to.active_element
        if to in (focused.get_attribute("id"), focused.get_attribute("value")):
            outline = (
                "const s = getComputedStyle(arguments[0]); return s.outlineStyle + s.boxShadow"
            )
            assert browser.execute_script(outline, focused) != "nonenone", f"{to}: no focus is seen"
            return focused
        focused.send_keys(Keys.TAB)
    raise AssertionError(f"{to} is never reached")


WIDER = """
return [...document.querySelectorAll('#content *')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(e => e.outerHTML.slice(0, 80))
"""
FAINT = """
const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
const colour = text => text.match(/[\\d.]+/g).map(Number)
const behind = e => {
    for (; e; e = e.parentElement) {
        const found = colour(getComputedStyle(e).backgroundColor)
        if (found.length === 3 || found[3] === 1) return found
    }
    return [255, 255, 255]
}
const ratio = e => {
    const [a, b] = [light(colour(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x)
    return (a + 0.05) / (b + 0.05)
}
const written = e => e.matches('input:not([type=hidden], [type=checkbox], [type=radio]), textarea')
    || [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
return [...document.querySelectorAll('#content *')]
    .filter(e => e.checkVisibility() && written(e) && ratio(e) < 4.5)
    .map(e => ratio(e).toFixed(1) + ' ' + e.outerHTML.slice(0, 80))
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1100, 800, 400])
def test_all_of_it_can_be_seen_and_read(
    browser: Chrome, site: Site, width: int, theme: str
) -> None:
    """WCAG 2.2, 1.4.3: text is 4.5 times as light as what is behind it, or the other way round."""
    log_in(browser, site)
    show(browser, width, theme)
    browser.get(f"{site.url}{PAGE}?by=route&q=products")
    for _ in range(3):
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        assert browser.execute_script(WIDER) == []
        assert browser.execute_script(FAINT) == []
        if browser.find_elements(By.CSS_SELECTOR, 'input[value="Preview"]'):
            browser.find_element(By.ID, "id_tags").send_keys("long" * 60)
            press(browser, "Preview")
            until(browser, "This will purge")
        else:
            press(browser, "Yes, purge")
            until(browser, "Purged from this page")


BROKEN = """
const lines = text => {
    const range = document.createRange()
    range.selectNodeContents(text)
    return new Set([...range.getClientRects()].map(rect => rect.top)).size
}
const texts = e => [...e.childNodes].flatMap(n => n.nodeType === 3 ? [n] : texts(n))
return [...document.querySelectorAll('.cachemw-table .cachemw-word, .cachemw-table .n')]
    .filter(e => texts(e).some(text => lines(text) > 1))
    .map(e => e.outerHTML)
"""


@pytest.mark.parametrize("width", [1280, 1100, 800, 400])
def test_no_word_or_number_of_the_tables_is_broken(browser: Chrome, site: Site, width: int) -> None:
    """A long tag leaves the other columns little room: `har/d`."""
    log_in(browser, site)
    show(browser, width, "light")
    browser.get(f"{site.url}{PAGE}")
    browser.find_element(By.ID, "id_tags").send_keys(
        "\n".join("long" * 30 + str(n) for n in range(8))
    )
    press(browser, "Preview")
    until(browser, "This will purge")
    press(browser, "Yes, purge")
    until(browser, "Purged from this page")
    assert browser.execute_script(BROKEN) == []


def test_the_browser_fetches_nothing_from_elsewhere_and_complains_of_nothing(
    browser: Chrome, site: Site
) -> None:
    """The site's policy forbids styles and scripts in the page, and whatever is not its own."""
    log_in(browser, site)
    browser.get(f"{site.url}{PAGE}?by=route&q=products")
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert any(name.endswith("/cachemw/admin.css") for name in fetched)
    assert [name for name in fetched if not name.startswith(f"{site.url}/")] == []
    lines = [line["message"] for line in browser.get_log("browser")]
    assert [line for line in lines if "favicon.ico" not in line] == []


def test_a_name_that_is_a_script_runs_nowhere(browser: Chrome, site: Site) -> None:
    site.cache_status("/products/%3Cimg%20src=x%20onerror=alert(1)%3E")
    log_in(browser, site)
    browser.get(f"{site.url}{PAGE}?by=route&q=products")
    until(browser, f"{len(PAGES)} found.")
    assert browser.find_elements(By.CSS_SELECTOR, "#content img") == []


def test_with_redis_gone_the_page_says_so_and_a_purge_waits(
    browser: Chrome, site: Site, redis: RedisServer
) -> None:
    log_in(browser, site)
    redis.stop()
    browser.get(f"{site.url}{PAGE}")
    until(browser, "does not answer")
    browser.find_element(By.ID, "id_everything").click()
    press(browser, "Preview")
    until(browser, "the number of entries is not known")
    press(browser, "Yes, purge")
    until(browser, "waiting for Redis")
    assert "fwd=uri-miss" in site.cache_status("/orders")
