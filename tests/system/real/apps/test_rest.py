"""Django REST framework's browsable API, with drf-spectacular, under gunicorn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.waiting import until
from tests.system.real.compare import COMMON_FIELDS, VolatileField, VolatileText

from .checks import Crowd, SiteChecks, Visits, visit
from .chrome import chrome, show_from_cache
from .django_sites import DjangoSite
from .people import Person, browse, has, log_in, stranger
from .staleness import fill, same_for, wake
from .tokens import tokens_in

FIELDS = (
    *COMMON_FIELDS,
    VolatileField(b"x-worker", "the test's own: which worker answered"),
    VolatileField(b"expires", "a page that must not be kept expires at the time of its answer"),
)
TEXTS = (
    VolatileText(re.compile(rb'(csrfmiddlewaretoken" value=")\w+'), "a token in a form"),
    VolatileText(re.compile(rb'("csrfToken": ")\w+'), "the token for the API's scripts"),
    VolatileText(re.compile(rb'("X-CSRFTOKEN"\] = ")\w+'), "the token for Swagger's scripts"),
    VolatileText(re.compile(rb"^(csrftoken=).*"), "the cookie: a new token, or a new expiry"),
)
START = ["/", "/books/", "/authors/", "/suggestions/", "/docs/", "/schema/", "/auth/login/"]
READER_START = [*START, "/loans/", "/loans/?format=json"]


def admitted(target: str) -> bool:
    return not target.startswith(("/auth/logout", "/auth/login/?next=", "/static/"))


@pytest.fixture(scope="module")
def crowd(make_site: Callable[[str], DjangoSite]) -> Iterator[Crowd]:
    site = make_site("rest")
    with site.serve(cached=False) as off, site.serve(cached=True) as on:
        for server in (off, on):
            # Two threads of a worker that make its first schema at once answer 500.
            wake(server, "/schema/")
        newcomer, regular = stranger("newcomer", START, 24), stranger("regular", START, 24)
        german = stranger("german", START, 24, language="de")
        with browse(off, regular) as browser:
            browser.get("/auth/login/")
            regular.keep(browser.client)
        with browse(off, german) as browser:
            browser.send("/language/", browser.get("/auth/login/"), {"language": "de"})
            german.keep(browser.client)
            assert "django_language" in german.cookies
        readers = [
            Person(name=name, start=READER_START, limit=16, secrets=[f"loan-of-{name}-4711"])
            for name in ("alice", "bob", "carol")
        ]
        for reader in readers:
            username, password = f"{reader.name}-of-the-library", f"password-of-{reader.name}"
            log_in(off, reader, "/auth/login/", {"username": username, "password": password})
            reader.secrets.append(username)
        yield Crowd(
            name="rest",
            off=off,
            on=on,
            people=[newcomer, regular, german, *readers],
            admit=admitted,
            fields=FIELDS,
            texts=TEXTS,
            least=80,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestBrowsableApi(SiteChecks):
    """What is true of every site."""


def test_a_stranger_logs_in_from_a_page_that_came_from_the_cache(crowd: Crowd) -> None:
    for person in crowd.people[:2]:
        with browse(crowd.on, person) as browser:
            page = browser.hit("/books/")
            fields = {"username": "bob-of-the-library", "password": "password-of-bob"}
            answer = browser.send("/auth/login/", page, fields)
            assert answer.status_code == 302, answer.text
            assert "bob-of-the-library" in browser.get("/books/").text


def test_a_stranger_suggests_a_book_by_the_form_of_a_cached_page(crowd: Crowd) -> None:
    stranger_, german = crowd.people[1], crowd.people[2]
    fill(crowd, german, ["/suggestions/"])
    with browse(crowd.on, stranger_) as browser:
        page = browser.hit("/suggestions/")
        answer = browser.submit("/suggestions/", page, has("title"), {"title": "A missing book"})
        assert answer.status_code == 201, answer.text
    same_for(crowd, [german], ["/suggestions/"])
    with browse(crowd.on, german) as browser:
        assert "A missing book" in browser.get("/suggestions/").text


def test_a_real_browser_sends_a_form_that_came_from_the_cache(crowd: Crowd) -> None:
    target = "/suggestions/"
    with browse(crowd.on, crowd.people[0]) as browser:
        browser.hit(target)
    with chrome() as driver:
        show_from_cache(driver, crowd.on.url, target)
        field = driver.find_element("css selector", "#post-object-form input[name=title]")
        field.send_keys("What a browser misses")
        driver.find_element("css selector", "#post-object-form button").click()
        until(lambda: "HTTP 201" in driver.page_source)
        assert "What a browser misses" in driver.page_source


def test_what_a_reader_adds_changes_and_deletes_is_so_for_all_at_once(crowd: Crowd) -> None:
    alice = crowd.people[3]
    lists = ["/books/", "/books/?page=4", "/authors/", "/authors/1/"]
    for person in crowd.people[:3]:
        fill(crowd, person, lists)
    with browse(crowd.on, alice) as browser:
        page = browser.get("/books/")
        fields = {"title": "A new book", "author": "1", "price": "3.00"}
        added = browser.submit("/books/", page, has("title"), fields)
        assert added.status_code == 201, added.text
        last = browser.client.get("/books/?format=json&page=1").json()["results"][0]
        assert last["title"] == "A new book"
        address = f"/books/{last['id']}/"
        check(crowd, [*lists, address])

        token = {"X-CSRFToken": tokens_in(browser.get(address).text)[0]}
        fields = {**fields, "title": "A book with another title"}
        changed = browser.client.put(address, data=fields, headers=token)
        assert changed.status_code == 200, changed.text
        check(crowd, [*lists, address])

        assert browser.client.delete(address, headers=token).status_code in (200, 204)
        check(crowd, [*lists, address])


def check(crowd: Crowd, targets: list[str]) -> None:
    """See to it that nobody is shown anything older, strangers and readers alike."""
    same_for(crowd, crowd.people, targets)


def test_a_write_without_its_token_is_refused(crowd: Crowd) -> None:
    with browse(crowd.on, crowd.people[3]) as browser:
        answer = browser.client.post("/books/", data={"title": "x", "author": "1", "price": "1"})
        assert answer.status_code == 403


def test_a_token_of_somebody_else_is_refused(crowd: Crowd) -> None:
    with browse(crowd.on, crowd.people[1]) as other, browse(crowd.on, crowd.people[3]) as browser:
        token = {"X-CSRFToken": tokens_in(other.hit("/books/").text)[0]}
        answer = browser.client.delete("/books/1/", headers=token)
        assert answer.status_code == 403
