"""Forms of Flask-WTF: each client gets the token of its own session, and never another's (I1)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

flask = pytest.importorskip("flask")
wtf = pytest.importorskip("flask_wtf.csrf")

from flask_wtf import FlaskForm  # noqa: E402 - where it is there
from wtforms import StringField  # noqa: E402

from cachemw import Cache  # noqa: E402
from cachemw.integrations.flask_wtf import follow_forms, visitor  # noqa: E402
from cachemw.wsgi import CacheMiddleware  # noqa: E402

PAGE = "<form method=post>{{ form.csrf_token }}</form>"


class Form(FlaskForm):  # type: ignore[misc]
    """A form with one field."""

    name = StringField()


def form_page() -> str:
    return str(flask.render_template_string(PAGE, form=Form()))


PAGES: dict[str, Callable[[], Any]] = {
    "a form": form_page,
    "two forms": lambda: form_page() + form_page(),
    "a template": lambda: flask.render_template_string("<i value={{ csrf_token() }}>"),
    "by hand": lambda: f"<meta value={wtf.generate_csrf()}>",
}


class Site:
    """An application with forms, behind the cache."""

    def __init__(self, page: Callable[[], Any] = form_page, **options: Any) -> None:
        self.calls = 0
        self.wait: threading.Event | None = None
        self.app = app = flask.Flask("forms")
        app.config.update(SECRET_KEY="k" * 32, SESSION_COOKIE_SAMESITE="Lax")
        wtf.CSRFProtect(app)

        @app.get("/f")
        def get() -> Any:
            self.calls += 1
            if self.wait is not None:
                assert self.wait.wait(10)
            return page()

        @app.post("/posted")
        def post() -> str:
            return "posted"

        @app.get("/in")
        def sign_in() -> str:
            flask.session["user"] = "ann"
            return "signed in"

        route = {"name": "f", "path": "/f", "ttl": "60s", "identity": "visitor", "cookies": []}
        given = {"routes": [{**route, "risk": "low"}], **options}
        self.cache = Cache.from_dict(given, identities={"visitor": visitor(app)})
        follow_forms(app, self.cache)
        app.wsgi_app = CacheMiddleware(app.wsgi_app, cache=self.cache)

    def browser(self) -> Any:
        return self.app.test_client()


@pytest.fixture
def site() -> Site:
    return Site()


def token(response: Any) -> str:
    return re.findall(r'value="?([\w.-]+)', response.text)[-1]


def is_hit(response: Any) -> bool:
    return "; hit;" in response.headers["Cache-Status"]


def post(browser: Any, given: str) -> int:
    return int(browser.post("/posted", data={"csrf_token": given}).status_code)


@pytest.mark.parametrize("way", PAGES)
def test_every_client_can_post_its_own_form_and_no_others(way: str) -> None:
    site = Site(PAGES[way])
    browsers = [site.browser() for _ in range(3)]
    tokens = [token(browser.get("/f")) for browser in browsers]
    assert site.calls == 1
    assert len(set(tokens)) == 3
    assert [post(browser, each) for browser, each in zip(browsers, tokens, strict=True)] == [
        200
    ] * 3
    assert post(browsers[0], tokens[1]) == 400


def test_a_visitor_who_has_seen_a_form_still_hits(site: Site) -> None:
    browser = site.browser()
    first, second = browser.get("/f"), browser.get("/f")
    assert (is_hit(first), is_hit(second), site.calls) == (False, True, 1)
    assert second.headers.get("Set-Cookie") is None
    assert [post(browser, token(each)) for each in (first, second)] == [200, 200]
    assert second.headers.get("ETag") is None


def test_the_cookie_is_as_flask_sets_it(site: Site) -> None:
    lines = [site.browser().get("/f").headers.getlist("Set-Cookie") for _ in range(2)]
    lines.append(wsgi_without_cache(site).get("/f").headers.getlist("Set-Cookie"))
    assert [len(each) for each in lines] == [1, 1, 1]
    attributes = [each[0].partition("; ")[2] for each in lines]
    assert len(set(attributes)) == 1


def wsgi_without_cache(site: Site) -> Any:
    site.cache.flags.set(low="off")
    return site.browser()


def test_a_user_goes_past_the_cache(site: Site) -> None:
    site.browser().get("/f")
    user = site.browser()
    user.get("/in")
    page = user.get("/f")
    assert (is_hit(page), site.calls) == (False, 2)
    assert post(user, token(page)) == 200


def test_a_session_that_somebody_forged_counts_for_nothing(site: Site) -> None:
    site.browser().get("/f")
    browser = site.browser()
    browser.set_cookie("session", "eyJ1c2VyIjoiYW5uIn0.forged.forged")
    page = browser.get("/f")
    assert is_hit(page)
    assert post(browser, token(page)) == 200


def test_a_view_that_writes_into_the_session_is_not_kept() -> None:
    def page() -> str:
        flask.session["seen"] = "f"
        return form_page()

    site = Site(page)
    for _ in range(2):
        browser = site.browser()
        response = browser.get("/f")
        assert not is_hit(response)
        assert post(browser, token(response)) == 200
        with browser.session_transaction() as session:
            assert session["seen"] == "f"
    assert len(site.cache.memory) == 0


def test_those_who_wait_get_their_own() -> None:
    site = Site()
    site.wait = threading.Event()
    browsers = [site.browser() for _ in range(3)]
    flights = site.cache._core.engine.flights
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(browser.get, "/f") for browser in browsers]
        while flights.waiting < 2:
            threading.Event().wait(0.001)
        site.wait.set()
        pages = [answer.result() for answer in answers]
    assert site.calls == 1
    assert [post(b, token(page)) for b, page in zip(browsers, pages, strict=True)] == [200] * 3


def test_in_shadow_tokens_are_no_mismatch() -> None:
    site = Site(flags={"low": "shadow"})
    for _ in range(3):
        browser = site.browser()
        assert post(browser, token(browser.get("/f"))) == 200
    assert site.cache.stats().by_label["shadow_hit"] == 2


def test_nothing_of_a_token_is_stored(site: Site) -> None:
    site.browser().get("/f")
    (entry,) = site.cache.memory.entries()
    assert b'value=""' in entry.body
    assert not [name for name, _ in entry.headers if b"cookie" in name]


def test_sessions_elsewhere_are_refused() -> None:
    app = flask.Flask("elsewhere")
    app.session_interface = flask.sessions.SessionInterface()
    with pytest.raises(TypeError, match=r"kept by SessionInterface; forms can be followed only"):
        visitor(app)
