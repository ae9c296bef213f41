"""A cookie that the application reads counts as personal, on a route that says nothing of cookies."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from cachemw.django.read_cookies import ReadCookies
from cachemw.engine.privacy.cookie_reads import NONE_READ, CookieReads
from cachemw.testing import FakeClock
from tests.doors.language import Call
from tests.support.waiting import until

from .django_site import CACHE, Site, open_site

INTERFACES = ["wsgi", "asgi"]
LOCALE = "django.middleware.locale.LocaleMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"


def themed(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"theme {request.COOKIES.get('theme', 'light')}")


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


def theme(name: str) -> dict[str, str]:
    return {"Cookie": f"theme={name}; _ga=1"}


def names(site: Site) -> CookieReads:
    return site.cache._core.engine.routes[0].cookies.reads


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_first_client_that_has_it_gets_its_own_page(interface: str) -> None:
    # Guard: `ask_with_own` in `Exchange.decide`.
    with open_site({"/p": themed}, interface=interface) as site:
        for name in ("dark", "blue", "dark"):
            assert site.get("/p", theme(name)).body == f"theme {name}".encode()
        assert site.get("/p").body == b"theme light"
        assert site.get("/p").hit
        reply = site.get("/p", theme("dark"))
        assert (reply.body, reply.detail) == (b"theme dark", "personal-cookie")
        assert site.cache.stats().refused["rest"] == {"cookie-read": 1}


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_page_that_was_stored_before_is_not_for_a_client_that_has_it(interface: str) -> None:
    # Guard: `tags_of` learns before the entry is in memory.
    with open_site({"/p": themed}, interface=interface) as site:
        assert [site.get("/p").hit for _ in range(2)] == [False, True]
        for name in ("dark", "blue"):
            reply = site.get("/p", theme(name))
            assert (reply.body, reply.detail) == (f"theme {name}".encode(), "personal-cookie")
        assert site.get("/p", {"Cookie": "basket=1; _ga=1"}).hit


def test_it_counts_on_the_whole_route_and_nothing_else_does() -> None:
    with open_site({"/p": themed, "/q": plain}) as site:
        site.get("/p")
        site.get("/q")
        assert site.get("/q", theme("dark")).detail == "personal-cookie"
        assert site.get("/q", {"Cookie": "basket=1"}).hit
        assert names(site) == CookieReads(frozenset({"theme"}))


def test_those_who_wait_get_their_own_pages() -> None:
    # Guard: `bypasses_by_now` in `_coalesce`: they were classified before anything was known.
    gate = threading.Event()
    calls_made = []

    def slow(request: HttpRequest) -> HttpResponse:
        calls_made.append(request)
        assert gate.wait(10)
        return themed(request)

    with open_site({"/p": slow}) as site:
        sent = ["", "dark", "", "blue"]
        calls = [
            Call(target="/p", headers=[("Cookie", f"theme={name}")] if name else [])
            for name in sent
        ]
        engine = site.cache._core.engine
        replies = site.server.together(calls, lambda: engine.flights.waiting == 3, gate.set)
        assert [reply.body for reply in replies] == [
            f"theme {name or 'light'}".encode() for name in sent
        ]
        assert len(calls_made) == 3


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_cookie_that_is_read_and_set_for_whoever_has_none_stays_each_visitors_own(
    interface: str,
) -> None:
    """As the variant of a test. Guard: `ask_with_own` comes before the rule about a cookie conflict."""

    def variant(request: HttpRequest) -> HttpResponse:
        own = request.COOKIES.get("ab")
        response = HttpResponse(own or "drawn")
        if own is None:
            response.set_cookie("ab", "drawn")
        return response

    with open_site({"/p": variant}, interface=interface) as site:
        for name in ("B", "C"):
            reply = site.get("/p", {"Cookie": f"ab={name}"})
            assert (reply.body, reply.field("set-cookie")) == (name.encode(), None)
            assert reply.detail == "personal-cookie"
        for _ in range(2):
            reply = site.get("/p")
            assert (reply.body, reply.hit) == (b"drawn", False)
            assert (reply.field("set-cookie") or "").startswith("ab=drawn")
        assert site.cache.stats().refused["rest"] == {"cookie-read": 1, "set-cookie": 2}


READERS: Mapping[str, Callable[[HttpRequest], Any]] = {
    "get": lambda r: r.COOKIES.get("theme"),
    "item": lambda r: r.COOKIES.get("theme", None),
    "signed": lambda r: r.get_signed_cookie("theme", None),
    "all": lambda r: sorted(r.COOKIES.items()),
    "dict": lambda r: dict(r.COOKIES),
    "unpacked": lambda r: {**r.COOKIES},
    "size": lambda r: len(r.COOKIES),
    "truth": lambda r: bool(r.COOKIES),
    "header": lambda r: r.headers.get("Cookie"),
    "header in another case": lambda r: r.headers["cOOKIE"] if "cookie" in r.headers else None,
    "all headers": lambda r: sorted(r.headers.items()),
}


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize("first", ["", "theme=dark"])
def test_however_it_is_read(how: str, first: str) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(repr(READERS[how](request)))

    with open_site({"/p": view}) as site:
        site.get("/p", {"Cookie": first} if first else {})
        expected = site.get("/p", {"Cookie": "theme=dark", "Authorization": "x"}).body
        for _ in range(2):
            reply = site.get("/p", {"Cookie": "theme=dark"})
            assert reply.detail == "personal-cookie"
            if "all headers" not in how:
                assert reply.body == expected
        site.get("/p")
        assert site.get("/p").hit


UNREAD: Mapping[str, Any] = {
    "other headers": (lambda r: r.headers.get("Accept"), []),
    "the language": (lambda r: None, [LOCALE]),
    "a token": (lambda r: None, [CSRF]),
}


@pytest.mark.parametrize("what", UNREAD)
def test_what_django_reads_itself_does_not_count(what: str) -> None:
    read, inside = UNREAD[what]

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(repr(read(request)))

    with open_site({"/p": view}, middleware=[CACHE, *inside]) as site:
        site.get("/p")
        assert site.get("/p", {"Cookie": "csrftoken=1; theme=dark; _ga=1"}).hit
        assert names(site) == NONE_READ


LISTED: list[Any] = [
    pytest.param({"ignore_cookies": ["theme"]}, b"theme light", id="ignored"),
    pytest.param({"keyed_cookies": ["theme"]}, b"theme dark", id="in the key"),
    pytest.param({"cookies": []}, b"theme light", id="the route says that it reads none"),
    pytest.param({"cookies": ["theme"]}, b"theme dark", id="listed"),
    pytest.param({"personal_cookies": ["sid"]}, b"theme light", id="others are personal"),
]


@pytest.mark.parametrize(("options", "body"), LISTED)
def test_for_a_cookie_in_a_list_the_list_counts(options: dict[str, Any], body: bytes) -> None:
    with open_site({"/p": themed}, **options) as site:
        site.get("/p", theme("dark"))
        reply = site.get("/p", theme("dark"))
        assert (reply.body, reply.hit) == (body, True)


@pytest.mark.parametrize("interface", INTERFACES)
def test_what_a_stream_reads_at_its_end_is_learned_before_it_is_stored(interface: str) -> None:
    def view(request: HttpRequest) -> StreamingHttpResponse:
        def pieces() -> Any:
            yield b"theme "
            yield request.COOKIES.get("theme", "light").encode()

        async def apieces() -> Any:
            for piece in pieces():
                yield piece

        return StreamingHttpResponse(pieces() if interface == "wsgi" else apieces())

    with open_site({"/p": view}, interface=interface) as site:
        assert site.get("/p").body == b"theme light"
        assert site.get("/p", theme("dark")).body == b"theme dark"
        assert site.get("/p").hit


def test_a_view_that_fails_without_it_answers_whoever_has_it() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        try:
            return HttpResponse(request.COOKIES["theme"])
        except KeyError:
            return HttpResponse(status=500)

    with open_site({"/p": view}) as site:
        assert site.get("/p", theme("dark")).body == b"dark"
        assert site.get("/p").status == 500


def test_a_report_of_an_error_that_lists_all_cookies_does_not_count() -> None:
    # Guard: `_FAILED` in `ask_with_own`.
    fails = [True]

    def view(request: HttpRequest) -> HttpResponse:
        if fails:
            return HttpResponse(repr(request.COOKIES), status=fails.pop() * 500)
        return HttpResponse("page")

    with open_site({"/p": view}) as site:
        assert site.get("/p").status == 500
        site.get("/p")
        assert site.get("/p", {"Cookie": "x=1"}).hit


def test_a_head_is_asked_again_too() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("page", headers={"X-Theme": request.COOKIES.get("theme", "light")})

    with open_site({"/p": view}) as site:
        reply = site.get("/p", theme("dark"), method="HEAD")
        assert (reply.field("x-theme"), reply.detail) == ("dark", "personal-cookie")


def test_shadow_learns_and_holds_no_page_of_one_client() -> None:
    # Guard: `spoil` in `ask_with_own`.
    with open_site({"/p": themed}, risk="low") as site:
        assert site.cache.flags.set({"low": "shadow"})
        for name in ("dark", "blue"):
            assert site.get("/p", theme(name)).body == f"theme {name}".encode()
        for _ in range(3):
            assert site.get("/p").body == b"theme light"
        assert "shadow_mismatch" not in site.cache.stats().by_label
        assert site.cache.stats().refused == {"rest": {"cookie-read": 1}}


def outer_reader(get_response: Any) -> Any:
    """Be a middleware that puts what a cookie says into the request."""

    def answer(request: Any) -> Any:
        request.theme = request.COOKIES.get("theme", "light")
        return get_response(request)

    return answer


def test_what_middleware_outside_reads_counts_as_all() -> None:
    # Guard: `_has_others_outside`.
    def view(request: Any) -> HttpResponse:
        return HttpResponse(request.theme)

    with open_site({"/p": view}, middleware=[f"{__name__}.outer_reader", CACHE]) as site:
        assert site.get("/p").body == b"light"
        for name in ("dark", "blue"):
            assert site.get("/p", theme(name)).body == name.encode()
        assert site.get("/p", {"Cookie": "_ga=2"}).hit


def inner_writer(get_response: Any) -> Any:
    """Be a middleware that changes a header before anybody has read one."""

    def answer(request: Any) -> Any:
        request.META["HTTP_X_TENANT"] = "a"
        return get_response(request)

    return answer


def test_headers_are_read_as_late_as_without_the_cache() -> None:
    # Guard: `ReadHeaders._store` is made at the first use.
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{request.headers['X-Tenant']} {'x-tenant' in request.headers}")

    with open_site({"/p": view}, middleware=[CACHE, f"{__name__}.inner_writer"]) as site:
        assert site.get("/p").body == b"a True"
        assert site.get("/p", {"Cookie": "x=1"}).hit


def test_the_log_warns_once_of_each_name(caplog: pytest.LogCaptureFixture) -> None:
    with open_site({"/p": themed}) as site:
        for name in ("dark", "blue"):
            site.get("/p", theme(name))
            site.get("/p")
        found = [record for record in caplog.records if "cookies_read" in record.getMessage()]
        assert len(found) == 1
        assert "theme" in found[0].getMessage()
        assert "dark" not in found[0].getMessage()


def test_explain_says_what_is_read() -> None:
    with open_site({"/p": themed}) as site:
        site.get("/p")
        url = "http://shop.example/p"
        told = site.cache.explain("GET", url)
        assert (told.outcome, told.cookies_read) == ("hit", ("theme",))
        assert "  reads    theme\n" in str(told)
        told = site.cache.explain("GET", url, {"Cookie": "theme=dark"})
        assert (told.reason, told.cookies_read) == ("personal-cookie", ("theme",))


def test_a_refresh_for_a_client_without_it_is_learned_from(own_clock: FakeClock) -> None:
    reads: list[bool] = []

    def view(request: HttpRequest) -> HttpResponse:
        return themed(request) if reads else plain(request)

    with open_site({"/p": view}, stale_while_revalidate="5m") as site:
        site.get("/p")
        own_clock.advance(61)
        reads.append(True)
        assert site.get("/p").body == b"plain"
        until(lambda: bool(names(site).names))
        until(site.idle)
        assert site.get("/p", theme("dark")).body == b"theme dark"
        assert site.get("/p").body == b"theme light"


WHOLE: Mapping[str, Callable[[ReadCookies], Any]] = {
    "iteration": list,
    "reversed": lambda c: list(reversed(c)),
    "keys": lambda c: c.keys(),
    "values": lambda c: c.values(),
    "items": lambda c: c.items(),
    "length": len,
    "truth": bool,
    "copy": lambda c: c.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "json": json.dumps,
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "equality": lambda c: c == {"a": "1"},
    "inequality": lambda c: c != {"a": "1"},
    "union": lambda c: c | {},
    "union from the right": lambda c: {} | c,
    "dict": dict,
    "unpacking": lambda c: {**c},
    "update": lambda c: {}.update(c),  # type: ignore[func-returns-value]
    "set": set,
    "popitem": lambda c: c.popitem(),
    "call": lambda c: (lambda **a: a)(**c),
}


@pytest.mark.parametrize("how", WHOLE)
def test_whatever_looks_at_all_of_them_is_noted(how: str) -> None:
    cookies = ReadCookies({"a": "1"})
    WHOLE[how](cookies)
    assert cookies.reads.all


ONE: Mapping[str, Callable[[ReadCookies], Any]] = {
    "get": lambda c: c.get("a"),
    "item": lambda c: c["a"],
    "in": lambda c: "a" in c,
    "pop": lambda c: c.pop("a", None),
    "setdefault": lambda c: c.setdefault("a", ""),
    "missing": lambda c: c.get("a", "default"),
    "format": lambda c: "{[a]}".format(c),  # noqa: UP032
}


@pytest.mark.parametrize("how", ONE)
def test_one_name_is_noted_alone(how: str) -> None:
    cookies = ReadCookies({"a": "1", "b": "2"}, unless=["csrftoken"])
    cookies.get("csrftoken")
    ONE[how](cookies)
    assert cookies.reads == CookieReads(frozenset({"a"}))


def test_a_copy_is_plain() -> None:
    cookies = ReadCookies({"a": "1"})
    for copied in (copy.copy(cookies), copy.deepcopy(cookies), pickle.loads(pickle.dumps(cookies))):
        assert type(copied) is dict
        assert copied == {"a": "1"}
