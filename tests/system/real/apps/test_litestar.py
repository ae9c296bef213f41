"""A notice board by Litestar, with sessions and its own CSRF protection, under uvicorn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.system.real.compare import COMMON_FIELDS, VolatileText

from .checks import Crowd, SiteChecks, Visits, visit
from .people import Person, browse, has, log_in, stranger
from .program_sites import ProgramSite
from .staleness import fill, same_for

TEXTS = (
    VolatileText(re.compile(rb'(_csrf_token" value=")\w+'), "a token in a form"),
    VolatileText(re.compile(rb"^(csrftoken=).*"), "the cookie: a new token"),
    VolatileText(re.compile(rb"^(session=).*"), "the cookie: sealed anew in each answer"),
)
START = ["/"]


@pytest.fixture(scope="module")
def crowd(make_program: Callable[[str], ProgramSite]) -> Iterator[Crowd]:
    site = make_program("litestar")
    with site.serve(cached=False) as off, site.serve(cached=True) as on:
        members = [Person(name=name, start=START, limit=20) for name in ("alice", "bob")]
        for member in members:
            fields = {"username": member.name, "password": f"password-of-{member.name}"}
            log_in(off, member, "/log-in", fields, session="session")
            member.secrets.append(f"Hello {member.name}-of-the-board")
        yield Crowd(
            name="litestar",
            off=off,
            on=on,
            people=[*(stranger(name, START, 30) for name in ("one", "two")), *members],
            admit=lambda target: True,
            fields=COMMON_FIELDS,
            texts=TEXTS,
            least=80,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestLitestar(SiteChecks):
    """What is true of every site."""


@pytest.mark.parametrize("who", [0, 2])
def test_a_notice_is_on_the_board_at_once(crowd: Crowd, who: int) -> None:
    fill(crowd, crowd.people[1], ["/"], workers=1)
    with browse(crowd.on, crowd.people[who]) as browser:
        page = browser.get("/write")
        written = browser.submit("/write", page, has("text"), {"text": f"A notice of {who}"})
        assert written.status_code == 303, written.text
    same_for(crowd, crowd.people, ["/"], workers=1)
    with browse(crowd.on, crowd.people[1]) as browser:
        assert f"A notice of {who}" in browser.hit("/").text
