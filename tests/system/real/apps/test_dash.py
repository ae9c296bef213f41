"""A dashboard by Dash, under gunicorn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.system.real.compare import COMMON_FIELDS, VolatileText

from .checks import Crowd, SiteChecks, Visits, visit
from .people import Browser, browse, stranger
from .program_sites import ProgramSite

TEXTS = (VolatileText(re.compile(rb'("end_id":")[^"]+'), "a signed number, new for each page"),)
START = ["/", "/_dash-layout", "/_dash-dependencies", "/_favicon.ico"]


def admitted(target: str) -> bool:
    return not target.startswith("/_dash-component-suites/")


@pytest.fixture(scope="module")
def crowd(make_program: Callable[[str], ProgramSite]) -> Iterator[Crowd]:
    site = make_program("dash")
    with site.serve(cached=False) as off, site.serve(cached=True) as on:
        yield Crowd(
            name="dash",
            off=off,
            on=on,
            people=[stranger(name, START, 20) for name in ("one", "two")],
            admit=admitted,
            fields=COMMON_FIELDS,
            texts=TEXTS,
            least=60,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestDash(SiteChecks):
    """What is true of every site."""


def choose(browser: Browser, city: str) -> httpx.Response:
    """Choose a city, as the page's script tells the server."""
    sent: dict[str, Any] = {
        "output": "number.children",
        "outputs": {"id": "number", "property": "children"},
        "inputs": [{"id": "city", "property": "value", "value": city}],
        "changedPropIds": ["city.value"],
    }
    return browser.client.post("/_dash-update-component", json=sent)


def test_each_choice_has_its_own_answer_and_a_change_is_seen_at_once(crowd: Crowd) -> None:
    with browse(crowd.on, crowd.people[0]) as one, browse(crowd.on, crowd.people[1]) as other:
        for browser in (one, other):
            for city in ("Cork", "Lyon", "Cork"):
                assert f"{len(city)} people visited {city}" in choose(browser, city).text
        assert "; hit" in choose(other, "Cork").headers["cache-status"]
        assert one.client.post("/visit/Cork").status_code == 200
        for browser in (one, other):
            assert "5 people visited Cork" in choose(browser, "Cork").text
