"""A Wagtail site behind `cachemw.django` under gunicorn: the same site, and new when it changes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import pytest

from . import report
from .compare import (
    COMMON_FIELDS,
    VolatileField,
    VolatileText,
    differences,
    without_cookies,
)
from .crawl import Answer, Visitor, ask_together, revisit
from .pages import form_fields, token_of
from .servers import Server
from .sites import (
    EDITOR,
    PASSWORD,
    WORKERS,
    Crawls,
    Site,
    crawl_site,
    log_in_wagtail,
    manage,
)

FIELDS = (
    *COMMON_FIELDS,
    VolatileField(b"expires", "a page that must not be kept expires at the time of its answer"),
    VolatileField(b"x-worker", "the test's own field: which worker answered"),
)

VOLATILE = (
    VolatileText(re.compile(rb"^(csrftoken=).*"), "a CSRF cookie: a new token, or a new expiry"),
    VolatileText(re.compile(rb'(name="csrfmiddlewaretoken" value=")\w+'), "a token in a form"),
    VolatileText(re.compile(rb'("CSRF_TOKEN": ")\w+'), "the admin's token for its scripts"),
    VolatileText(re.compile(rb"Just now|\d+\xc2\xa0minutes? ago"), "the age of a change"),
    VolatileText(re.compile(rb'("modelNames": )\[[^]]*\]'), "a set, in the order of the process"),
)

UNCRAWLED = {
    "logout": "ends the session",
    "/edit/": "each visit of the page editor writes a row and shows its number",
    "/jsi18n/": "half a megabyte of translations",
    "/workflows/": "more of the same lists",
    "/reports/": "more of the same lists",
}

START = ["/", "/news/", "/search/?query=article", "/news/with-password/", "/news/for-editors/"]
EDITOR_START = [*START, "/admin/", "/admin/account/", "/admin/pages/4/", "/admin/images/"]

USERBAR = 'id="wagtail-userbar-template"'
SECRETS = (
    EDITOR,
    "secret-of-for-editors",
    "secret-of-with-password",
    USERBAR,
    "sessionid=",
)
"""What only somebody who logged in, or gave the password, is ever shown."""


def admitted(target: str) -> bool:
    return not any(part in target for part in UNCRAWLED)


def public(target: str) -> bool:
    inside = target.startswith(("/admin/", "/django-admin/"))
    return admitted(target) and (not inside or target.startswith("/admin/login/"))


def visitors(editor: dict[str, str]) -> list[Visitor]:
    """A stranger, a browser that keeps the cookies it is given, and the logged-in editor."""
    return [
        Visitor(name="stranger", start=[*START, "/admin/login/"], limit=150, admit=public),
        Visitor(name="browser", start=START, limit=60, keeps_cookies=True, admit=public),
        Visitor(
            name="editor",
            start=EDITOR_START,
            limit=90,
            cookies=editor,
            keeps_cookies=True,
            admit=admitted,
        ),
    ]


@pytest.fixture(scope="module")
def crawls(wagtail: Site) -> Crawls:
    with wagtail.off.client() as browser:
        log_in_wagtail(browser)
        cookies = dict(browser.cookies)
    # Pictures are scaled when a page first shows them: not part of what is compared.
    stranger = visitors({})[0]
    pages = ["/news/", *(f"/news/article-{number:02}/" for number in range(1, 31))]
    asyncio.run(revisit(wagtail.off, stranger, pages))
    return crawl_site(wagtail, visitors(cookies))


@pytest.fixture
def editor(wagtail: Site) -> Iterator[httpx.Client]:
    with wagtail.on.client() as browser:
        log_in_wagtail(browser)
        yield browser


NAMES = ["stranger", "browser", "editor"]


@pytest.mark.parametrize("name", NAMES)
def test_two_passes_without_the_cache_differ_in_nothing_undeclared(
    crawls: Crawls, name: str
) -> None:
    assert differences(crawls.off[name], crawls.again[name], FIELDS, VOLATILE) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("round_", ["cold", "warm"])
def test_every_page_is_the_same_with_the_cache(crawls: Crawls, name: str, round_: str) -> None:
    off, on = (
        without_cookies(seen[name], ["csrftoken"]) for seen in (crawls.off, getattr(crawls, round_))
    )
    assert differences(off, on, FIELDS, VOLATILE) == []


def test_the_editor_sees_what_others_do_not(crawls: Crawls) -> None:
    seen = "".join(answer.text for answer in crawls.warm["editor"].values())
    assert all(
        secret in seen
        for secret in (EDITOR, "secret-of-for-editors", 'id="wagtail-userbar-template"')
    )


@pytest.mark.parametrize("name", ["stranger", "browser"])
def test_nothing_of_the_editor_reaches_others(crawls: Crawls, name: str) -> None:
    for target, answer in (*crawls.cold[name].items(), *crawls.warm[name].items()):
        whole = answer.text + repr(answer.headers)
        assert not [secret for secret in SECRETS if secret in whole], target


@pytest.mark.parametrize(
    "order", [pytest.param(1, id="editor first"), pytest.param(-1, id="stranger first")]
)
@pytest.mark.parametrize("target", ["/news/", "/news/article-20/", "/search/?query=article"])
def test_a_page_that_nobody_asked_for_before_is_made_for_each_alone(
    wagtail: Site, editor: httpx.Client, target: str, order: int
) -> None:
    new = f"{target}{'&' if '?' in target else '?'}nobody-asked={order}"
    clients: list[dict[str, str]] = [dict(editor.cookies), {}, {"_ga": "GA1.1.1234.5678"}]
    several = (clients * 3)[::order]
    for _ in range(3):
        answers = asyncio.run(ask_together(wagtail.on, new, several))
        for cookies, answer in zip(several, answers, strict=True):
            assert (USERBAR in answer.text) == ("sessionid" in cookies), answer.headers


def tokens(answers: Sequence[Answer]) -> list[str]:
    """List the CSRF tokens that answers carry, in cookies and in pages."""
    carried = re.compile(r'csrftoken=(\w+)|name="csrfmiddlewaretoken" value="(\w+)"')
    texts = (answer.text + repr(answer.headers) for answer in answers)
    return ["".join(found) for text in texts for found in carried.findall(text)]


def test_no_token_is_handed_out_twice(crawls: Crawls) -> None:
    passes = (crawls.cold["stranger"], crawls.warm["stranger"])
    cookies = [
        token for found in passes for answer in found.values() for token in set(tokens([answer]))
    ]
    assert len(cookies) >= 8  # A cookie and a form, on two pages, in two passes.
    assert len(cookies) == len(set(cookies))


def test_nothing_with_a_token_in_it_is_answered_by_the_cache(crawls: Crawls) -> None:
    for target, answer in crawls.warm["stranger"].items():
        assert not (answer.hit and tokens([answer])), target


def test_most_of_a_second_anonymous_pass_is_answered_by_the_cache(
    wagtail: Site, crawls: Crawls
) -> None:
    row = report.measure("Wagtail", wagtail, crawls.warm["stranger"])
    missed = [target for target, answer in crawls.warm["stranger"].items() if not answer.hit]
    assert row.hit_rate >= 90, missed
    report.record(report.APPLICATIONS, row)


def ask_all_workers(
    server: Server, target: str, enough: Callable[[Answer], bool] = lambda _: True
) -> list[Answer]:
    """Ask in bursts until each worker gave an answer that is enough; give every answer."""
    answers: list[Answer] = []
    deadline = time.monotonic() + 30
    while len({answer.first(b"x-worker") for answer in answers if enough(answer)}) < WORKERS:
        assert time.monotonic() < deadline, [answer.headers for answer in answers]
        answers += asyncio.run(ask_together(server, target, [{}] * 8))
    return answers


def from_memory(answer: Answer) -> bool:
    return answer.hit and b"memory" in answer.first(b"cache-status")


def warm_up(server: Server, *targets: str) -> None:
    """See to it that both workers hold the pages in memory."""
    for target in targets:
        ask_all_workers(server, target, from_memory)


def page_id(editor: httpx.Client, title: str) -> str:
    """Look a page up in the admin's list of the news pages."""
    listing = editor.get("/admin/pages/4/", params={"q": title}).text
    found = re.search(rf"/admin/pages/(\d+)/edit/[^>]*>\s*(?:<[^>]+>\s*)*{title}", listing)
    assert found, listing[:500]
    return found[1]


def test_a_page_edited_in_the_admin_is_new_at_once_in_both_workers(
    wagtail: Site, editor: httpx.Client
) -> None:
    targets = ("/news/article-07/", "/news/", "/search/?query=another+title")
    warm_up(wagtail.on, *targets)
    address = f"/admin/pages/{page_id(editor, 'Article 07')}/edit/"
    form = form_fields(editor.get(address).text, "page-edit-form")
    form |= {"title": "Article with another title", "action-publish": "action-publish"}
    answer = editor.post(address, data=form)
    assert answer.status_code == 302, answer.text
    for target in targets:
        for seen in ask_all_workers(wagtail.on, target):
            assert "Article with another title" in seen.text, (target, seen.headers)
            assert "Article 07" not in seen.text, (target, seen.headers)


def test_a_page_unpublished_in_the_admin_is_gone_at_once_in_both_workers(
    wagtail: Site, editor: httpx.Client
) -> None:
    warm_up(wagtail.on, "/news/article-08/", "/news/")
    address = f"/admin/pages/{page_id(editor, 'Article 08')}/unpublish/"
    token = token_of(editor.get(address).text)
    assert editor.post(address, data={"csrfmiddlewaretoken": token}).status_code == 302
    for seen in ask_all_workers(wagtail.on, "/news/article-08/"):
        assert seen.status == 404, seen.headers
    for seen in ask_all_workers(wagtail.on, "/news/"):
        assert "Article 08" not in seen.text, seen.headers


def test_a_page_made_private_in_the_admin_is_closed_at_once_in_both_workers(
    wagtail: Site, editor: httpx.Client
) -> None:
    warm_up(wagtail.on, "/news/article-13/", "/news/")
    address = f"/admin/pages/{page_id(editor, 'Article 13')}/privacy/"
    form = {"csrfmiddlewaretoken": token_of(editor.get("/admin/account/").text)}
    closed = editor.post(address, data=form | {"restriction_type": "login"})
    assert closed.status_code == 200, closed.text
    for seen in ask_all_workers(wagtail.on, "/news/article-13/"):
        assert seen.status == 302, seen.headers
    for seen in ask_all_workers(wagtail.on, "/news/"):
        assert "Article 13" not in seen.text, seen.headers


def test_a_page_published_by_another_process_is_new_at_once_in_both_workers(
    wagtail: Site,
) -> None:
    warm_up(wagtail.on, "/news/article-09/", "/news/")
    manage(wagtail.folder, "publish_title", "article-09", "Imported title", redis=wagtail.redis)
    for target in ("/news/article-09/", "/news/"):
        for seen in ask_all_workers(wagtail.on, target):
            assert "Imported title" in seen.text, (target, seen.headers)


def test_other_pages_stay_in_the_cache_when_one_is_published(
    wagtail: Site, editor: httpx.Client
) -> None:
    warm_up(wagtail.on, "/news/article-11/")
    manage(wagtail.folder, "publish_title", "article-10", "Article 10", redis=wagtail.redis)
    for seen in ask_all_workers(wagtail.on, "/news/article-11/"):
        assert seen.hit


def test_the_log_in_form_is_a_new_one_for_everybody(wagtail: Site) -> None:
    with wagtail.on.client() as one, wagtail.on.client() as other:
        forms = [browser.get("/admin/login/") for browser in (one, other)]
        assert token_of(forms[0].text) != token_of(forms[1].text)
        crossed = {
            "csrfmiddlewaretoken": token_of(forms[0].text),
            "username": EDITOR,
            "password": PASSWORD,
        }
        assert other.post("/admin/login/", data=crossed).status_code == 403
        log_in_wagtail(one)
        assert EDITOR in one.get("/news/").text
        assert EDITOR not in other.get("/news/").text


def test_a_page_behind_a_password_opens_for_who_gave_it_alone(wagtail: Site) -> None:
    target = "/news/with-password/"
    with wagtail.on.client() as friend, wagtail.on.client() as stranger:
        form = friend.get(target).text
        action = re.search(r'action="([^"]+)"', form)
        assert action
        sent = {
            "csrfmiddlewaretoken": token_of(form),
            "password": "open sesame",
            "return_url": target,
        }
        assert friend.post(action[1], data=sent).status_code == 302
        for _ in range(3):
            assert "secret-of-with-password" in friend.get(target).text
            assert "secret-of-with-password" not in stranger.get(target).text


def test_a_page_for_editors_is_never_kept(wagtail: Site, editor: httpx.Client) -> None:
    target = "/news/for-editors/"
    with wagtail.on.client() as stranger:
        for _ in range(3):
            assert "secret-of-for-editors" in editor.get(target).text
            turned_away = stranger.get(target)
            assert turned_away.status_code == 302
            assert "secret-of-for-editors" not in turned_away.text


def test_an_editor_whose_session_was_ended_elsewhere_is_a_stranger_at_once(
    wagtail: Site, editor: httpx.Client
) -> None:
    for _ in range(4):
        assert EDITOR in editor.get("/news/").text
    manage(wagtail.folder, "end_sessions", EDITOR)
    assert EDITOR not in editor.get("/news/").text


def test_each_search_has_its_own_answer(wagtail: Site) -> None:
    with wagtail.on.client() as visitor:
        for _ in range(2):
            assert "Article 12" in visitor.get("/search/?query=Article+12").text
            assert "No results found" in visitor.get("/search/?query=nothing-like-it").text
