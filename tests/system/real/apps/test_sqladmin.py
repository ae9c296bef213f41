"""FastAPI pages over SQLAlchemy, changed by sqladmin's forms, under uvicorn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.system.real.compare import COMMON_FIELDS, VolatileText

from .checks import Crowd, SiteChecks, Visits, visit
from .people import Person, browse, has, log_in, stranger
from .program_sites import ProgramSite
from .staleness import fill, same_for

TEXTS = (VolatileText(re.compile(rb"^(session=).*"), "the cookie of a session: a new expiry"),)
START = ["/"]
LIST = "/admin/product/list"


def admitted(target: str) -> bool:
    return not target.startswith(("/admin/statics/", "/admin/logout", "/admin/product/export"))


@pytest.fixture(scope="module")
def crowd(make_program: Callable[[str], ProgramSite]) -> Iterator[Crowd]:
    site = make_program("sqladmin")
    with site.serve(cached=False) as off, site.serve(cached=True) as on:
        admins = [Person(name=name, start=[LIST, "/"], limit=20) for name in ("alice", "bob")]
        for admin in admins:
            fields = {"username": admin.name, "password": f"password-of-{admin.name}"}
            log_in(off, admin, "/admin/login", fields, session="session")
        yield Crowd(
            name="sqladmin",
            off=off,
            on=on,
            people=[*(stranger(name, START, 30) for name in ("one", "two")), *admins],
            admit=admitted,
            fields=COMMON_FIELDS,
            texts=TEXTS,
            least=80,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestSqladmin(SiteChecks):
    """What is true of every site."""


def test_what_an_administrator_changes_is_so_for_all_at_once(crowd: Crowd) -> None:
    pages = ["/", "/products/3", "/products/4"]
    fill(crowd, crowd.people[0], pages, workers=1)
    with browse(crowd.on, crowd.people[2]) as browser:
        address = "/admin/product/edit/3"
        page = browser.get(address)
        changed = browser.submit(address, page, has("title"), {"title": "Another title"}, "save")
        assert changed.status_code == 302, changed.text
        same_for(crowd, crowd.people, pages, workers=1)
        address = "/admin/product/create"
        fields = {"title": "A new thing", "price": "5"}
        made = browser.submit(address, browser.get(address), has("title"), fields, "save")
        assert made.status_code == 302, made.text
    same_for(crowd, crowd.people, pages, workers=1)
    with browse(crowd.on, crowd.people[0]) as browser:
        assert "Another title" in browser.hit("/").text
        assert "A new thing" in browser.hit("/").text
