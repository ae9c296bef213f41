"""Datasette behind `cachemw.asgi` under uvicorn: the same site, only faster."""

from __future__ import annotations

import asyncio
import re

import pytest

from cachemw import Cache

from . import report
from .compare import COMMON_FIELDS, VolatileText, differences
from .crawl import Visitor, ask_together
from .datasette_app import SECRET_ROW
from .pages import token_of
from .servers import Server
from .sites import Crawls, Site, crawl_site, log_in_datasette

VOLATILE = (
    VolatileText(re.compile(rb"(Queries took )[\d.]+ms"), "how long the application took"),
    VolatileText(re.compile(rb'("query_ms": )[\d.e-]+'), "how long the application took"),
    VolatileText(re.compile(rb"(ds_csrftoken=)[^;]+"), "a CSRF token, new for each browser"),
    VolatileText(re.compile(rb'(name="csrftoken" value=")[^"]+'), "the same token in a form"),
)

UNCRAWLED = {
    "/-/metadata": "shows what other pages have added to it in the process by then",
    "/-/threads": "lists the threads of the process as they are at this moment",
    "/-/permissions": "lists the last permission checks with their times",
    "/-/logout": "ends the session",
    "/-/patterns": "a page of sample links to databases that do not exist",
    "/_internal": "its rows are in the order in which the process met its databases",
}

SECRETS = (SECRET_ROW, 'action="/-/logout"', '"id": "root"', "payroll", "ds_actor")
"""What only the logged-in administrator is ever shown."""


def admitted(target: str) -> bool:
    return not target.startswith(tuple(UNCRAWLED))


def visitors(admin: dict[str, str]) -> list[Visitor]:
    """A stranger, a browser with a cookie of no account, and the administrator."""
    unknown = {"theme": "dark"}
    return [
        Visitor(name="stranger", start=["/"], limit=220, admit=admitted),
        Visitor(name="browser", start=["/"], limit=60, cookies=unknown, admit=admitted),
        Visitor(
            name="administrator",
            start=["/", "/payroll/salaries", "/-/actor.json", "/notebook/add_note"],
            limit=100,
            cookies=admin,
            keeps_cookies=True,
            admit=admitted,
        ),
    ]


@pytest.fixture(scope="module")
def administrator(datasette: Site) -> dict[str, str]:
    return log_in_datasette(datasette.on)


@pytest.fixture(scope="module")
def crawls(datasette: Site, administrator: dict[str, str]) -> Crawls:
    return crawl_site(datasette, visitors(administrator))


NAMES = ["stranger", "browser", "administrator"]


@pytest.mark.parametrize("name", NAMES)
def test_two_passes_without_the_cache_differ_in_nothing_undeclared(
    crawls: Crawls, name: str
) -> None:
    assert differences(crawls.off[name], crawls.again[name], COMMON_FIELDS, VOLATILE) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("round_", ["cold", "warm"])
def test_every_page_is_the_same_with_the_cache(crawls: Crawls, name: str, round_: str) -> None:
    with_cache = getattr(crawls, round_)[name]
    assert differences(crawls.off[name], with_cache, COMMON_FIELDS, VOLATILE) == []


def test_the_administrator_sees_what_others_do_not(crawls: Crawls) -> None:
    seen = "".join(answer.text for answer in crawls.warm["administrator"].values())
    assert all(secret in seen for secret in SECRETS[:4])


@pytest.mark.parametrize("name", ["stranger", "browser"])
def test_nothing_of_the_administrator_reaches_others(crawls: Crawls, name: str) -> None:
    for target, answer in (*crawls.cold[name].items(), *crawls.warm[name].items()):
        whole = answer.text + repr(answer.headers)
        assert not [secret for secret in SECRETS if secret in whole], target


@pytest.mark.parametrize(
    "order", [pytest.param(1, id="administrator first"), pytest.param(-1, id="stranger first")]
)
@pytest.mark.parametrize("target", ["/", "/trade/orders", "/-/actor.json", "/notebook/notes/1"])
def test_a_page_that_nobody_asked_for_before_is_made_for_each_alone(
    datasette: Site, administrator: dict[str, str], target: str, order: int
) -> None:
    several = ([administrator, {}, {"_ga": "GA1.1.1234.5678"}] * 3)[::order]
    for _ in range(3):
        asked = ask_together(datasette.on, f"{target}?_nobody_asked={order}", several)
        for cookies, answer in zip(several, asyncio.run(asked), strict=True):
            shown = [secret for secret in SECRETS if secret in answer.text]
            assert bool(shown) == (cookies is administrator), (shown, answer.headers)


def test_requests_with_cookies_are_left_to_datasette(crawls: Crawls) -> None:
    for name in ("browser", "administrator"):
        assert not [target for target, answer in crawls.warm[name].items() if answer.hit]


def test_an_analytics_cookie_keeps_nobody_from_a_hit(datasette: Site, crawls: Crawls) -> None:
    target = next(target for target, answer in crawls.warm["stranger"].items() if answer.hit)
    with datasette.on.client() as browser:
        browser.get(target)
        browser.cookies.set("_ga", "GA1.1.1234.5678")
        assert "; hit" in browser.get(target).headers["cache-status"]


def test_most_of_a_second_anonymous_pass_is_answered_by_the_cache(
    datasette: Site, crawls: Crawls
) -> None:
    row = report.measure("Datasette", datasette, crawls.warm["stranger"])
    missed = [target for target, answer in crawls.warm["stranger"].items() if not answer.hit]
    assert row.hit_rate >= 95, missed
    report.record(report.APPLICATIONS, row)


def add_note(
    server: Server, administrator: dict[str, str], text: str, token: str | None = None
) -> int:
    """Add a note through the page's own form; give the status of the answer."""
    with server.client() as browser:
        browser.cookies.update(administrator)
        form = browser.get("/notebook/add_note")
        token = token or token_of(form.text, "csrftoken")
        answer = browser.post("/notebook/add_note", data={"csrftoken": token, "text": text})
        return answer.status_code


def test_a_note_added_by_a_form_is_new_at_once_after_a_purge_from_elsewhere(
    datasette: Site, administrator: dict[str, str]
) -> None:
    with datasette.on.client() as stranger:
        before = [stranger.get("/notebook/notes.json?_shape=array") for _ in range(2)]
        assert "; hit" in before[1].headers["cache-status"]
        assert add_note(datasette.on, administrator, "a note that was purged for") == 302
        cache = Cache.from_file(datasette.folder / "cachemw.toml")
        try:
            assert cache.purge(tags=["trade"]).status == "confirmed"
        finally:
            cache.close()
        after = stranger.get("/notebook/notes.json?_shape=array")
    assert "a note that was purged for" in after.text


def test_a_form_without_its_token_is_refused(
    datasette: Site, administrator: dict[str, str]
) -> None:
    assert add_note(datasette.on, administrator, "forged", token="forged") == 403


def test_head_and_conditional_requests_are_answered_like_the_page(datasette: Site) -> None:
    with datasette.on.client() as stranger:
        page = stranger.get("/trade/categories.json")
        page = stranger.get("/trade/categories.json")
        head = stranger.head("/trade/categories.json")
        same = stranger.get(
            "/trade/categories.json", headers={"If-None-Match": page.headers["etag"]}
        )
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(page.content))
    assert (same.status_code, same.content) == (304, b"")
