"""Pages with forms: each client gets a token of its own secret, and never another's (I1)."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware import csrf
from django.middleware.csrf import get_token
from django.template import engines
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page

from tests.doors.language import Call, Reply
from tests.unit.django.django_site import CACHE, DOORS, open_site

PROTECT = "django.middleware.csrf.CsrfViewMiddleware"
GZIP = "django.middleware.gzip.GZipMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {}}]
FORM = "<form>{% csrf_token %}</form>"

_names = iter(range(10**9))


def secret() -> str:
    """Make a secret, as Django does."""
    return str(csrf._get_new_csrf_string())  # type: ignore[attr-defined]


def rendered(request: HttpRequest, template: str = FORM) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(template).render({}, request))


class Views:
    """A view that counts its calls, and can be made to wait."""

    def __init__(self, make: Callable[[HttpRequest], Any] = rendered) -> None:
        self.make = make
        self.calls = 0
        self.wait: threading.Event | None = None

    def __call__(self, request: HttpRequest) -> Any:
        if request.method == "POST":
            return HttpResponse("posted")
        self.calls += 1
        if self.wait is not None:
            assert self.wait.wait(10)
        return self.make(request)


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(
    view: Any, door: str = "wsgi", *inside: str, own: dict[str, Any] | None = None, **options: Any
) -> Any:
    interface, middleware = DOORS[door]
    protected = PROTECT if all("Csrf" not in each for each in middleware) else ""
    return open_site(
        {"/f": view, "/posted": view},
        interface=interface,
        middleware=[*middleware, *inside, protected],
        settings={"TEMPLATES": TEMPLATES, **(own or {})},
        personal_cookies=["sessionid"],
        invalidates=[],
        **options,
    )


def tokens(body: bytes) -> list[str]:
    return re.findall(r"\b[A-Za-z0-9]{64}\b", body.decode())


def belongs(token: str, own: str) -> bool:
    """Tell whether a token is one of this secret."""
    return bool(csrf._does_token_match(token, own))  # type: ignore[attr-defined]


def cookie(own: str) -> dict[str, str]:
    return {"Cookie": f"_ga=1; csrftoken={own}; theme=dark"}


def given(reply: Reply) -> str | None:
    """Give the secret in the cookie that a reply sets."""
    line = reply.field("set-cookie")
    return None if line is None else line.partition(";")[0].removeprefix("csrftoken=")


def detail(reply: Reply) -> str:
    return reply.field("cache-status") or ""


def test_every_client_gets_a_token_of_its_own_secret(door: str) -> None:
    view, ann, bob = Views(), secret(), secret()
    with opened(view, door) as site:
        replies = [site.get("/f", cookie(own)) for own in (ann, bob, ann)]
    seen = [tokens(reply.body)[0] for reply in replies]
    assert [belongs(token, own) for token, own in zip(seen, (ann, bob, ann), strict=True)] == [
        True
    ] * 3
    assert not belongs(seen[1], ann)
    assert len(set(seen)) == 3, "each page has another mask"
    assert [given(reply) for reply in replies] == [None] * 3
    assert [reply.hit for reply in replies] == [False, True, True]
    assert view.calls == 1


def test_a_client_without_the_cookie_gets_it_as_django_sets_it(door: str) -> None:
    own = {"CSRF_COOKIE_SAMESITE": "Strict", "CSRF_COOKIE_SECURE": True, "CSRF_COOKIE_AGE": 60}
    view = Views()
    with opened(view, door, own=own) as site:
        replies = [site.get("/f") for _ in range(3)]
        direct = site.get("/f", {"Cookie": "sessionid=1"})
    secrets = [given(reply) for reply in replies]
    assert None not in secrets
    assert len(set(secrets)) == 3
    for reply, each in zip(replies, secrets, strict=True):
        assert belongs(tokens(reply.body)[0], str(each))
        assert attributes(reply) == attributes(direct)
        assert len([name for name, _ in reply.headers if name == "set-cookie"]) == 1
    assert view.calls == 2


def attributes(reply: Reply) -> list[str]:
    parts = (reply.field("set-cookie") or "").split("; ")[1:]
    return sorted(part for part in parts if not part.startswith("expires="))


@pytest.mark.parametrize("broken", ["", "short", "x" * 33, "ä" * 32, "!" * 32])
def test_a_cookie_that_is_none_is_replaced(broken: str) -> None:
    with opened(Views()) as site:
        site.get("/f")
        reply = site.get("/f", [("Cookie", f"csrftoken={broken}")])
    assert belongs(tokens(reply.body)[0], str(given(reply)))


def test_a_masked_cookie_of_old_versions_counts() -> None:
    own = secret()
    with opened(Views()) as site:
        site.get("/f")
        reply = site.get("/f", cookie(str(csrf._mask_cipher_secret(own))))  # type: ignore[attr-defined]
    assert (belongs(tokens(reply.body)[0], own), given(reply)) == (True, None)


def test_a_form_can_be_posted_from_a_cached_page(door: str) -> None:
    with opened(Views(), door) as site:
        site.get("/f")
        page = site.get("/f")
        own, token = str(given(page)), tokens(page.body)[0]
        form = {"Cookie": f"csrftoken={own}", "Content-Type": "application/x-www-form-urlencoded"}
        posts = [
            site.get("/posted", form, method="POST", body=f"csrfmiddlewaretoken={each}".encode())
            for each in (token, tokens(site.get("/f").body)[0])
        ]
    assert [reply.status for reply in posts] == [200, 403]


def test_those_who_wait_get_their_own(door: str) -> None:
    view, names = Views(), [secret() for _ in range(4)]
    view.wait = threading.Event()
    with opened(view, door) as site:
        flights = site.cache._core.engine.flights
        calls = [Call(target="/f", headers=list(cookie(own).items())) for own in names]
        replies = site.server.together(calls, lambda: flights.waiting == 3, view.wait.set)
    assert view.calls == 1
    for reply, own in zip(replies, names, strict=True):
        assert belongs(tokens(reply.body)[0], own)


def test_a_page_is_current_only_for_the_secret_that_is_in_it(door: str) -> None:
    # The back button, a reload, a sign-in in another tab: what the client has must fit its cookie.
    own, other = secret(), secret()
    with opened(Views(), door) as site:
        site.get("/f")
        tag = site.get("/f", cookie(own)).field("etag")
        assert (tag or "").startswith('W/"')
        conditions = {"If-None-Match": str(tag)}
        current = site.get("/f", {**cookie(own), **conditions})
        assert (current.status, current.body, current.hit) == (304, b"", True)
        rotated = site.get("/f", {**cookie(other), **conditions})
        assert (rotated.status, belongs(tokens(rotated.body)[0], other)) == (200, True)
        lost = site.get("/f", conditions)
        assert (lost.status, belongs(tokens(lost.body)[0], str(given(lost)))) == (200, True)
        always = site.get("/f", {**cookie(own), "If-None-Match": "*"})
        assert always.status == 200


def test_the_first_answer_is_conditional_too(door: str) -> None:
    own = secret()
    with opened(Views(), door) as site:
        tag = str(site.get("/f", cookie(own)).field("etag"))
        site.cache.memory.clear()
        again = site.get("/f", {**cookie(own), "If-None-Match": tag})
        assert (again.status, again.hit) == (304, False)
        assert site.get("/f", {**cookie(own), "If-None-Match": tag}).hit


def test_heads_and_ranges(door: str) -> None:
    own = secret()
    with opened(Views(), door) as site:
        page = site.get("/f", cookie(own))
        head = site.get("/f", cookie(own), method="HEAD")
        assert (head.body, head.hit) == (b"", True)
        assert head.field("content-length") == str(len(page.body))
        part = site.get("/f", {**cookie(own), "Range": "bytes=0-9"})
        assert (part.status, belongs(tokens(part.body)[0], own)) == (200, True)


@pytest.mark.parametrize("way", ["middleware", "decorator"])
def test_a_page_in_gzip_is_kept_unpacked(way: str) -> None:
    view = Views(lambda request: rendered(request, "x" * 500 + FORM))
    inside = [GZIP] if way == "middleware" else []
    with opened(gzip_page(view) if way == "decorator" else view, "wsgi", *inside) as site:
        for own in (secret(), secret()):
            reply = site.get("/f", {**cookie(own), "Accept-Encoding": "gzip"})
            assert (belongs(tokens(reply.body)[0], own), reply.field("content-encoding")) == (
                True,
                None,
            )
    assert view.calls == 1


FOLLOWED: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "get_token": lambda request: HttpResponse(f"<meta content={get_token(request)}>"),
    "in JSON": lambda request: HttpResponse(json.dumps({"token": get_token(request)})),
    "many": lambda request: rendered(request, FORM * 20),
    "several": lambda request: HttpResponse(f"{get_token(request)} {get_token(request)}"),
    "with the secret": lambda request: HttpResponse(
        f"{get_token(request)} {request.META['CSRF_COOKIE']}"
    ),
}


@pytest.mark.parametrize("way", FOLLOWED)
def test_every_way_to_a_token(way: str) -> None:
    view = Views(FOLLOWED[way])
    with opened(view) as site:
        for own in (secret(), secret()):
            reply = site.get("/f", cookie(own))
            seen = tokens(reply.body)
            assert [belongs(token, own) for token in seen] == [True] * len(seen) != []
            assert (own in reply.body.decode()) == (way == "with the secret")
            assert len(set(seen)) == (2 if way == "several" else 1)
    assert view.calls == 1


def test_the_cookie_alone(door: str) -> None:
    view = Views(lambda request: HttpResponse("a page for scripts"))
    with opened(ensure_csrf_cookie(view), door) as site:
        first, second = site.get("/f"), site.get("/f")
        assert None is not given(first) != given(second) is not None
        assert given(site.get("/f", cookie(secret()))) is None
    assert view.calls == 1


LOST: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "changed": lambda request: HttpResponse(base64.b64encode(get_token(request).encode())),
    "in a header": lambda request: HttpResponse(headers={"X-Token": get_token(request)}),
    "unmasked": lambda request: HttpResponse(
        str(csrf._unmask_cipher_token(get_token(request)))  # type: ignore[attr-defined]
    ),
}


@pytest.mark.parametrize("way", LOST)
def test_a_token_that_cannot_be_followed_is_the_clients_own(way: str, door: str) -> None:
    # Guard: the application is asked again with the client's own cookies.
    with opened(Views(LOST[way]), door) as site:
        for own in (secret(), secret()):
            reply = site.get("/f", cookie(own))
            text = reply.field("x-token") or reply.body.decode()
            token = base64.b64decode(text).decode() if way == "changed" else text
            assert belongs(token, own)
        assert len(site.cache.memory) == 0
        assert list(site.cache.stats().refused.values()) == [{"lost-piece": 1}]


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[str]:
        yield "<p>"
        yield get_token(request)

    return StreamingHttpResponse(pieces())


def begun(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter(["<p>", get_token(request)]))


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous:Warning")
@pytest.mark.parametrize("make", [streamed, begun])
def test_a_stream_has_the_clients_own_token_and_is_not_kept(make: Any, door: str) -> None:
    with opened(Views(make), door) as site:
        for own in (secret(), secret()):
            assert belongs(tokens(site.get("/f", cookie(own)).body)[0], own)
        assert len(site.cache.memory) == 0


def test_secrets_in_the_session_are_not_followed() -> None:
    own = {
        "CSRF_USE_SESSIONS": True,
        "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    }
    with opened(Views(), "wsgi", SESSIONS, own=own) as site:
        replies = [site.get("/f") for _ in range(2)]
        assert len({tokens(reply.body)[0] for reply in replies}) == 2
        lines = [str(reply.field("set-cookie")).partition(";")[0] for reply in replies]
        for reply, line in zip(replies, lines, strict=True):  # the token is that of this session
            kind = "application/x-www-form-urlencoded"
            form = {"Cookie": line, "Content-Type": kind}
            body = f"csrfmiddlewaretoken={tokens(reply.body)[0]}".encode()
            assert site.get("/posted", form, method="POST", body=body).status == 200
        assert len(site.cache.memory) == 0


def test_middleware_outside_that_knows_the_clients_secret() -> None:
    # What the application then puts into a page is the client's own: it must not be kept.
    own = secret()
    with open_site(
        {"/f": Views()},
        middleware=[PROTECT, CACHE],
        settings={"TEMPLATES": TEMPLATES},
        personal_cookies=["sessionid"],
    ) as site:
        assert belongs(tokens(site.get("/f", cookie(own)).body)[0], own)
        assert len(site.cache.memory) == 0


def test_it_can_be_taken_back() -> None:
    view = Views()
    own = secret()
    with opened(view, config={"forms": False}) as site:
        for _ in range(2):
            reply = site.get("/f", cookie(own))
            assert (belongs(tokens(reply.body)[0], own), reply.hit) == (True, False)
        assert len(site.cache.memory) == 0


def test_in_shadow_tokens_are_no_mismatch(door: str) -> None:
    view = Views()
    with opened(view, door, config={"flags": {"high": "shadow"}}) as site:
        for own in (secret(), secret(), secret()):
            assert belongs(tokens(site.get("/f", cookie(own)).body)[0], own)
        first = site.get("/f")
        assert belongs(tokens(first.body)[0], str(given(first)))
        assert site.cache.stats().by_label == {"shadow_miss": 1, "shadow_hit": 3}
    assert view.calls == 4


def test_what_is_stored_has_no_token(caplog: pytest.LogCaptureFixture) -> None:
    own = secret()
    with opened(Views(lambda request: rendered(request, FORM * 3))) as site:
        page = site.get("/f", cookie(own)).body
        (entry,) = site.cache.memory.entries()
    assert tokens(entry.body) == []
    assert own.encode() not in entry.body
    assert len(entry.body) == len(page) - 3 * 64
    assert [name for name, _ in entry.headers if "cookie" in name.decode()] == []
    assert settings.configured


def test_the_tag_for_templates() -> None:
    template = '{% load cachemw %}<p>{% hole "basket" "!" %}</p>'
    view = Views(lambda request: rendered(request, template + FORM))
    options = {"libraries": {"cachemw": "cachemw.django.templatetags.cachemw"}}
    own = {"TEMPLATES": [{**TEMPLATES[0], "OPTIONS": options}]}
    config = {"holes": {"basket": "tests.doors.holes:basket"}}
    with opened(view, own=own, config=config) as site:
        for name in ("ann", "bob"):
            reply = site.get("/f", {"Cookie": f"basket={name}"})
            assert f"<p><b>basket={name}!</b></p>".encode() in reply.body
            assert belongs(tokens(reply.body)[0], str(given(reply)))
    assert view.calls == 1
