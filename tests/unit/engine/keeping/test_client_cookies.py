"""What a response has read and sets that is not for everybody."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.engine.keeping.client_cookies import ask_with_own, with_cookies, without_dropped
from cachemw.engine.privacy.cookie_reads import NONE_READ, CookieReads
from cachemw.engine.request.decisions import Forward
from cachemw.http.fields import Fields
from cachemw.http.messages import Answer, Head
from cachemw.recording.context import Recording
from tests.support.engine import ROUTE, Field, Kit, get

PERSONAL = {**ROUTE, "personal_cookies": ["sid"]}
DROPS = {**ROUTE, "cookies": [], "drop_set_cookie": ["seen", "lang"]}
THEME = CookieReads(frozenset({"theme"}))
ALL = CookieReads(all=True)


def forwarded(kit: Kit, cookie: bytes | None, reads: CookieReads | None) -> Forward:
    forward = kit.miss(get("/products/1", *([(b"cookie", cookie)] if cookie else [])))
    if reads is not None:
        assert forward.fetch is not None
        recording = Recording()
        recording.cookies_read = lambda: reads
        forward.fetch.recording = recording
    return forward


def head(*fields: Field, status: int = 200) -> Head:
    return Head(status=status, headers=Fields(fields))


ASKED: list[Any] = [
    pytest.param(b"theme=1", THEME, 200, True, id="its cookie was read"),
    pytest.param(b"theme=1; x=1", THEME, 304, True, id="by one that says that nothing has changed"),
    pytest.param(b"theme=1", THEME, 500, True, id="by one that failed without it"),
    pytest.param(b"x=1", ALL, 200, True, id="all were read"),
    pytest.param(b"x=1", ALL, 500, False, id="all were listed in a report of an error"),
    pytest.param(b"x=1", ALL, 499, True, id="it is no error of the application"),
    pytest.param(b"x=1", THEME, 200, False, id="another cookie"),
    pytest.param(None, ALL, 200, False, id="no cookies"),
    pytest.param(b"_ga=1", ALL, 200, False, id="analytics"),
    pytest.param(b"theme=1", NONE_READ, 200, False, id="none was read"),
    pytest.param(b"theme=1", None, 200, False, id="nobody watched"),
]


@pytest.mark.parametrize(("cookie", "reads", "status", "asks"), ASKED)
def test_the_application_is_asked_again_with_a_cookie_that_it_has_read(
    cookie: bytes | None, reads: CookieReads | None, status: int, asks: bool
) -> None:
    kit = Kit(PERSONAL)
    kit.engine.watch_cookies([0])
    again = ask_with_own(kit.engine, forwarded(kit, cookie, reads), head(status=status))
    assert (again is not None) is asks
    if again is not None:
        assert (again.fetch, again.rewrite, again.reason) == (None, None, "personal-cookie")
    assert kit.cache.stats().refused.get("products", {}) == ({"cookie-read": 1} if asks else {})


def test_what_passes_by_is_asked_nothing() -> None:
    kit = Kit(PERSONAL)
    forward = kit.miss(get("/products/1", (b"cookie", b"sid=1")))
    assert forward.fetch is None
    assert ask_with_own(kit.engine, forward, head()) is None
    sets = head((b"set-cookie", b"seen=1"))
    assert without_dropped(forward, sets) == (sets, ())


def test_a_response_that_is_spoilt_goes_out() -> None:
    """There is nobody to send another one to."""
    kit = Kit(PERSONAL)
    kit.engine.watch_cookies([0])
    forward = forwarded(kit, b"theme=1", THEME)
    assert forward.fetch is not None
    forward.fetch.spoilt = "incomplete"
    assert ask_with_own(kit.engine, forward, head()) is None
    assert kit.engine.routes[0].cookies.reads == THEME


def test_in_shadow_the_response_is_for_its_client_only() -> None:
    kit = Kit({**PERSONAL, "risk": "low"}, flags={"low": "shadow"})
    kit.engine.watch_cookies([0])
    forward = forwarded(kit, b"theme=1", THEME)
    assert forward.fetch is not None
    assert forward.fetch.shadow
    assert ask_with_own(kit.engine, forward, head()) is None
    assert forward.fetch.spoilt == "cookie-read"
    assert kit.cache.stats().refused == {"products": {"cookie-read": 1}}


SEEN, LANG, SID = (
    (b"set-cookie", b"seen=2; Path=/"),
    (b"set-cookie", b"lang=en"),
    (
        b"set-cookie",
        b"sid=3",
    ),
)
TYPE = (b"content-type", b"text/plain")
SET: list[Any] = [
    pytest.param(None, [TYPE, SEEN], [TYPE], [SEEN], id="one"),
    pytest.param(None, [SEEN, TYPE, LANG], [TYPE], [SEEN, LANG], id="two"),
    pytest.param(None, [SEEN, SID], [SID], [SEEN], id="beside another"),
    pytest.param(None, [SID, TYPE], [SID, TYPE], [], id="another alone"),
    pytest.param(None, [TYPE], [TYPE], [], id="none"),
    pytest.param(None, [SEEN, (b"x", b"seen=1")], [(b"x", b"seen=1")], [SEEN], id="no cookie"),
    pytest.param(b"seen=1", [SEEN, LANG], [], [LANG], id="the client has one"),
    pytest.param(b"s%65en=1", [SEEN], [], [], id="in another spelling"),
    pytest.param(b"x=1", [SEEN], [], [SEEN], id="the client has another"),
]


@pytest.mark.parametrize(("cookie", "fields", "kept", "own"), SET)
def test_cookies_are_taken_out_for_all_and_kept_for_the_client(
    cookie: bytes | None, fields: list[Field], kept: list[Field], own: list[Field]
) -> None:
    kit = Kit(DROPS)
    rest, cookies = without_dropped(forwarded(kit, cookie, None), head(*fields, status=203))
    assert (rest.status, list(rest.headers.pairs), list(cookies)) == (203, kept, own)


def test_in_shadow_the_client_gets_all_that_the_application_sets() -> None:
    """The application has seen what the client has."""
    kit = Kit({**DROPS, "risk": "low"}, flags={"low": "shadow"})
    forward = forwarded(kit, b"seen=1", None)
    assert without_dropped(forward, head(SEEN, LANG))[1] == (SEEN, LANG)


def test_an_answer_gets_them_at_its_end() -> None:
    answer = Answer(status=200, headers=[TYPE], body=b"x")
    assert with_cookies(answer, ()) is answer
    assert with_cookies(answer, (SEEN,)) == Answer(status=200, headers=[TYPE, SEEN], body=b"x")
    assert answer.headers == [TYPE]
