"""A shop made with django-oscar, under gunicorn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.waiting import until
from tests.system.real.compare import COMMON_FIELDS, VolatileField, VolatileText
from tests.system.real.pages import Form

from .checks import Crowd, SiteChecks, Visits, visit
from .chrome import chrome, show_from_cache
from .django_sites import DjangoSite
from .people import Browser, Person, browse, has, log_in, stranger
from .staleness import fill, same_for

FIELDS = (
    *COMMON_FIELDS,
    VolatileField(b"x-worker", "the test's own: which worker answered"),
    VolatileField(b"expires", "a page that must not be kept expires at the time of its answer"),
)
RECENTLY_VIEWED = re.compile(
    rb'(</section>)\s*(?:<div class="sub-header">\s*<h2>[^<]*</h2>\s*</div>\s*'
    rb'<ul class="row list-unstyled mx-0">(?:(?!<div class="sub-header">).)*?)?'
    rb"\s*(</article><!-- End of product page -->)",
    re.S,
)
TEXTS = (
    VolatileText(re.compile(rb'(<meta name="created" content=")[^"]+'), "the time of the answer"),
    VolatileText(re.compile(rb'(csrfmiddlewaretoken" value=")\w+'), "a token in a form"),
    VolatileText(re.compile(rb"^(csrftoken=).*"), "the cookie: a new token, or a new expiry"),
    VolatileText(re.compile(rb"^(oscar_history=).*"), "the cookie: a new expiry"),
    VolatileText(re.compile(rb"^(sessionid=).*"), "the cookie: a new expiry"),
    VolatileText(RECENTLY_VIEWED, "what this browser has seen lately: its cookie is dropped"),
    VolatileText(re.compile(rb"(/media/cache/)[\w/]+"), "a thumbnail: two workers make it twice"),
)
START = [
    "/en-gb/catalogue/",
    "/en-gb/search/?q=thing",
    "/en-gb/basket/",
    "/en-gb/accounts/login/",
    "/en-gb/offers/",
]
CUSTOMER_START = ["/en-gb/accounts/profile/", *START]
UNCRAWLED = (
    "/static/",
    "/media/",
    "/en-gb/accounts/logout",
    "/de/accounts/logout",
    "/en-gb/dashboard/",
    "/de/dashboard/",
    "/en-gb/checkout/",
    "/de/checkout/",
)


def admitted(target: str) -> bool:
    return not target.startswith(UNCRAWLED)


def is_basket(form: Form) -> bool:
    """Choose the form that adds the product of the page to the basket."""
    return "/basket/add/" in form.action and form.method == "post"


def product_address(browser: Browser, title: str) -> str:
    """Find a product's page by the search."""
    found = browser.get(f"/en-gb/search/?q={title.replace(' ', '+')}")
    address = re.search(rf'href="(/en-gb/catalogue/[^"]+)"[^>]*title="{title}"', found.text)
    assert address, found.text[:2000]
    return address[1]


def add_to_basket(browser: Browser, title: str, quantity: int) -> httpx.Response:
    """Put a product into the basket by the form of its page."""
    target = product_address(browser, title)
    page = browser.hit(target)
    answer = browser.submit(target, page, is_basket, {"quantity": str(quantity)})
    assert answer.status_code == 302, answer.text
    return page


@pytest.fixture(scope="module")
def crowd(make_site: Callable[[str], DjangoSite]) -> Iterator[Crowd]:
    site = make_site("oscar")
    with site.serve(cached=False) as off, site.serve(cached=True) as on:
        newcomer, regular = stranger("newcomer", START, 20), stranger("regular", START, 20)
        german = stranger("german", ["/de/catalogue/"], 12, language="de")
        with browse(off, regular) as browser:
            browser.get("/en-gb/accounts/login/")
            regular.keep(browser.client)
        with browse(off, german) as browser:
            page = browser.get("/en-gb/accounts/login/")
            browser.send("/i18n/setlang/", page, {"language": "de"})
            german.keep(browser.client)
            assert "django_language" in german.cookies
        shopper = Person(name="shopper", start=START, limit=6)
        customers = [
            Person(name=name, start=CUSTOMER_START, limit=8) for name in ("alice", "bob", "carol")
        ]
        for customer in customers:
            name, password = f"{customer.name}@customer.test", f"password-of-{customer.name}"
            fields = {"login-username": name, "login-password": password}
            log_in(off, customer, "/en-gb/accounts/login/", fields, press="login_submit")
            customer.secrets += [name, f"{customer.name.title()}-first-name"]
        for number, person in enumerate([shopper, *customers]):
            with browse(off, person) as browser:
                quantity = 31 + number
                add_to_basket(browser, f"Thing {11 + number:02}", quantity)
                person.keep(browser.client)
                # What the basket costs, which each page of theirs shows, is theirs alone.
                person.secrets.append(f"{quantity * (11 + number + 10.11):,.2f}")
        yield Crowd(
            name="oscar",
            off=off,
            on=on,
            people=[newcomer, regular, german, shopper, *customers],
            admit=admitted,
            fields=FIELDS,
            texts=TEXTS,
            dropped=frozenset({"csrftoken", "oscar_history"}),
            least=80,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestOscar(SiteChecks):
    """What is true of every site."""


def strangers(crowd: Crowd) -> list[Person]:
    return [person for person in crowd.people if person.is_stranger]


@pytest.mark.parametrize("who", [0, 1, 2])
def test_a_stranger_fills_a_basket_from_a_page_that_came_from_the_cache(
    crowd: Crowd, who: int
) -> None:
    with browse(crowd.on, strangers(crowd)[who]) as browser:
        add_to_basket(browser, "Thing 03", 2)
        basket = browser.get("/en-gb/basket/")
        assert "Thing 03" in basket.text
        assert f"{2 * 13.11:.2f}" in browser.get("/en-gb/catalogue/").text
    with browse(crowd.on, strangers(crowd)[who]) as browser:
        assert f"{2 * 13.11:.2f}" not in browser.get("/en-gb/catalogue/").text


def test_a_stranger_logs_in_and_out_again(crowd: Crowd) -> None:
    with browse(crowd.on, strangers(crowd)[0]) as browser:
        address = "/en-gb/accounts/login/"
        fields = {"login-username": "bob@customer.test", "login-password": "password-of-bob"}
        page = browser.hit(address)
        answer = browser.submit(address, page, has(*fields), fields, "login_submit")
        assert answer.status_code == 302, answer.text
        assert "bob@customer.test" in browser.get("/en-gb/accounts/profile/").text
        browser.client.get("/en-gb/accounts/logout/")
        assert "bob@customer.test" not in browser.get("/en-gb/catalogue/").text


def test_a_stranger_registers_from_a_page_that_came_from_the_cache(crowd: Crowd) -> None:
    with browse(crowd.on, strangers(crowd)[1]) as browser:
        address = "/en-gb/accounts/login/"
        secret = "a-long-Password-4711"
        fields = {
            "registration-email": "dora@customer.test",
            "registration-password1": secret,
            "registration-password2": secret,
        }
        page = browser.hit(address)
        answer = browser.submit(address, page, has(*fields), fields, "registration_submit")
        assert answer.status_code == 302, answer.text
        assert "dora@customer.test" in browser.get("/en-gb/accounts/profile/").text


def test_a_review_is_on_the_page_of_its_product_at_once(crowd: Crowd) -> None:
    with browse(crowd.on, strangers(crowd)[1]) as browser:
        target = product_address(browser, "Thing 04")
        for person in strangers(crowd):
            fill(crowd, person, [target])
        address = f"{target}reviews/add/"
        fields = {
            "title": "Better than the others",
            "score": "4",
            "body": "It does what it should.",
            "name": "A visitor",
            "email": "visitor@elsewhere.test",
        }
        page = browser.hit(address)
        answer = browser.submit(address, page, has("title", "body"), fields)
        assert answer.status_code == 302, answer.text
    same_for(crowd, crowd.people, [target, f"{target}reviews/"])


def test_a_price_changed_in_the_dashboard_is_new_at_once_for_all(crowd: Crowd) -> None:
    keeper = Person(name="keeper", start=[], limit=0)
    fields = {"login-username": "keeper@shop.test", "login-password": "password-of-keeper"}
    log_in(crowd.on, keeper, "/en-gb/accounts/login/", fields, press="login_submit")
    with browse(crowd.on, keeper) as browser:
        target = product_address(browser, "Thing 06")
        pages = [target, "/en-gb/catalogue/", "/en-gb/search/?q=thing"]
        for person in strangers(crowd):
            fill(crowd, person, pages)
        number = re.search(r"_(\d+)/$", target)
        assert number
        address = f"/en-gb/dashboard/catalogue/products/{number[1]}/"
        page = browser.get(address)
        change = {"title": "Thing 06 with another title", "stockrecords-0-price": "77.77"}
        answer = browser.submit(address, page, has("title", "upc"), change, "action")
        assert answer.status_code == 302, answer.text
    same_for(crowd, crowd.people, pages)
    with browse(crowd.on, strangers(crowd)[0]) as browser:
        assert "77.77" in browser.get(pages[0]).text


def test_the_last_one_sold_is_sold_out_for_all_at_once(crowd: Crowd) -> None:
    with browse(crowd.on, strangers(crowd)[1]) as browser:
        target = product_address(browser, "Thing 05")
        pages = [target, "/en-gb/catalogue/"]
        for person in strangers(crowd):
            fill(crowd, person, pages)
        add_to_basket(browser, "Thing 05", 1)
        buy(browser)
    same_for(crowd, crowd.people, pages)


def buy(browser: Browser) -> None:
    """Go through the checkout as a guest, form after form."""
    browser.client.follow_redirects = True
    address = "/en-gb/checkout/"
    guest = {"username": "guest@elsewhere.test", "options": "anonymous"}
    page = browser.submit(address, browser.get(address), has("username"), guest)
    sent_to = {
        "first_name": "Guest",
        "last_name": "Visitor",
        "line1": "1 High Street",
        "line4": "London",
        "postcode": "N1 9RT",
        "country": "GB",
    }
    page = browser.submit(f"{page.url}", page, has("line1"), sent_to)
    page = browser.submit(f"{page.url}", browser.get("/en-gb/checkout/preview/"), placing, {})
    assert "confirmation" in page.text.partition("</title>")[0], page.text
    browser.client.follow_redirects = False


def placing(form: Form) -> bool:
    """Choose the form that places the order."""
    return form.fields.get("action") == "place_order"


def test_a_real_browser_fills_its_basket_from_a_page_that_came_from_the_cache(
    crowd: Crowd,
) -> None:
    with browse(crowd.on, strangers(crowd)[0]) as browser:
        target = product_address(browser, "Thing 09")
    with chrome() as driver:
        show_from_cache(driver, crowd.on.url, target)
        driver.find_element("css selector", "form[action*='/basket/add/'] button").click()
        until(lambda: "oscar_open_basket" in {c["name"] for c in driver.get_cookies()})
        driver.get(f"{crowd.on.url}/en-gb/basket/")
        assert "Thing 09" in driver.page_source
        assert "19.11" in driver.page_source
