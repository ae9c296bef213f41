"""A GraphQL API by Strawberry, under uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.system.real.compare import COMMON_FIELDS

from .checks import Crowd, SiteChecks, Visits, visit
from .people import Browser, Person, browse, stranger
from .program_sites import ProgramSite

LIST = "{ books { number title } }"
BOOK = "query($number: Int!) { book(number: $number) { title } }"
ME = "{ me }"


@pytest.fixture(scope="module")
def crowd(make_program: Callable[[str], ProgramSite]) -> Iterator[Crowd]:
    site = make_program("strawberry")
    with site.serve(cached=False) as off, site.serve(cached=True) as on:
        queries = [f"/?query=%7Bbook(number:{n})%7Btitle%7D%7D" for n in range(1, 9)]
        start = [*queries, "/?query=%7Bbooks%7Btitle%7D%7D", "/?query=%7Bme%7D"]
        readers = [
            Person(
                name=name,
                start=start,
                limit=20,
                cookies={"reader": name},
                secrets=[f"{name}-of-the-api"],
            )
            for name in ("alice", "bob")
        ]
        yield Crowd(
            name="strawberry",
            off=off,
            on=on,
            people=[*(stranger(name, start, 20) for name in ("one", "two")), *readers],
            admit=lambda target: True,
            fields=COMMON_FIELDS,
            least=80,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestStrawberry(SiteChecks):
    """What is true of every site."""


def ask(browser: Browser, query: str, **variables: Any) -> httpx.Response:
    """Send a query as a client of the API does."""
    return browser.client.post("/", json={"query": query, "variables": variables})


def test_a_mutation_is_seen_by_the_next_query_of_everybody(crowd: Crowd) -> None:
    with browse(crowd.on, crowd.people[0]) as one, browse(crowd.on, crowd.people[2]) as alice:
        for browser in (one, alice):
            for _ in range(2):
                before = ask(browser, LIST)
        assert "; hit" in ask(one, LIST).headers["cache-status"]
        assert "Book 03" in before.text
        renamed = ask(alice, 'mutation { rename(number: 3, title: "Renamed") { title } }')
        assert renamed.json() == {"data": {"rename": {"title": "Renamed"}}}
        for browser in (one, alice):
            assert "Renamed" in ask(browser, LIST).text
            assert ask(browser, BOOK, number=3).json() == {"data": {"book": {"title": "Renamed"}}}


def test_each_reader_is_told_who_they_are(crowd: Crowd) -> None:
    for person in crowd.people:
        with browse(crowd.on, person) as browser:
            for _ in range(2):
                me = ask(browser, ME).json()["data"]["me"]
                assert me == (person.secrets[0] if person.secrets else None)
