"""What Django's own cookies do on a route that says nothing of cookies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from cachemw.config import config_from
from cachemw.django import get_cache
from cachemw.django.registry import get_config
from cachemw.django.steering import Steering, steered, steering

from .django_site import CACHE, open_site

INTERFACES = ["wsgi", "asgi"]
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
SIGNED = {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}
BROWSER = "_ga=GA1.1.2.3; _fbp=fb.1.7.8; csrftoken=abc"
BY = Steering((), ("lang",), ("sessionid", "messages"), ("csrftoken",))


def hello(request: HttpRequest) -> HttpResponse:
    session: Any = getattr(request, "session", {})
    if "name" in request.GET:
        session["name"] = request.GET["name"]
    return HttpResponse(f"hello {session.get('name', 'stranger')}")


@pytest.mark.parametrize("interface", INTERFACES)
def test_strangers_hit_and_whoever_has_a_session_bypasses_untouched(interface: str) -> None:
    # Guard: `Steering.personal`.
    with open_site(
        {"/p": hello}, interface=interface, middleware=[CACHE, SESSIONS], settings=SIGNED
    ) as site:
        login = site.get("/p?name=ann")
        own = (login.field("set-cookie") or "").partition(";")[0]
        assert own.startswith("sessionid=")
        for cookie in ("", BROWSER, "theme=dark", f"{BROWSER}; x=1"):
            assert site.get("/p", {"Cookie": cookie}).body == b"hello stranger"
        assert site.get("/p", {"Cookie": BROWSER}).hit
        for _ in range(2):
            reply = site.get("/p", {"Cookie": f"{BROWSER}; {own}"})
            assert (reply.body, reply.detail) == (b"hello ann", "personal-cookie")
        assert site.get("/p").hit


LISTS: list[Any] = [
    pytest.param({}, {}, ("sessionid", "messages"), id="nothing is said"),
    pytest.param({}, {"personal_cookies": []}, (), id="taken back for the site"),
    pytest.param({"personal_cookies": []}, {}, (), id="taken back here"),
    pytest.param({}, {"personal_cookies": ["sid"]}, ("sid",), id="the site's own"),
    pytest.param({"personal_cookies": ["sid"]}, {}, ("sid",), id="the route's own"),
    pytest.param({"cookies": []}, {}, None, id="the route reads none"),
    pytest.param({"cookies": ["theme"]}, {}, None, id="the route lists what it reads"),
    pytest.param({"identity": "shop.auth:who"}, {}, (), id="the route says who is asking"),
    pytest.param(
        {"methods": ["GET", "POST"], "body": "raw"}, {}, None, id="a POST needs its token's cookie"
    ),
    pytest.param({"ignore_cookies": ["mess*"]}, {}, ("sessionid",), id="one is ignored"),
    pytest.param({"keyed_cookies": ["sessionid"]}, {}, ("messages",), id="one is in the key"),
    pytest.param({}, {"ignore_cookies": ["x"]}, ("sessionid", "messages"), id="more are ignored"),
    pytest.param(
        {"drop_set_cookie": ["lang"]}, {}, ("sessionid", "messages"), id="one is not stored"
    ),
]


@pytest.mark.parametrize(("route", "site", "personal"), LISTS)
def test_a_route_that_says_nothing_of_cookies_gets_them(
    route: Mapping[str, Any], site: Mapping[str, Any], personal: tuple[str, ...] | None
) -> None:
    config = config_from({"routes": [{"path": "/p", "ttl": "60s", **route}], **site})
    assert steered(config, BY).routes[0].personal_cookies == personal


@pytest.mark.parametrize(
    ("settings", "personal"),
    [
        ({"INSTALLED_APPS": []}, ("sessionid",)),
        ({"INSTALLED_APPS": ["django.contrib.messages"]}, ("sessionid", "messages")),
        (
            {"INSTALLED_APPS": ["django.contrib.messages.apps.MessagesConfig"]},
            ("sessionid", "messages"),
        ),
        ({"INSTALLED_APPS": [], "SESSION_COOKIE_NAME": "who"}, ("who",)),
    ],
)
@pytest.mark.usefixtures("ready")
def test_they_are_named_by_djangos_settings(
    settings: dict[str, Any], personal: tuple[str, ...]
) -> None:
    with override_settings(**settings):
        assert steering().personal == personal


@pytest.mark.parametrize(
    "change", [{"SESSION_COOKIE_NAME": "who"}, {"CSRF_COOKIE_NAME": "token"}], ids=str
)
def test_a_cache_is_made_anew_when_a_test_names_them_otherwise(change: dict[str, Any]) -> None:
    with open_site({"/p": hello}) as site, override_settings(**change):
        assert get_cache() is not site.cache
        assert get_cache().config == get_config()


DROPPED: list[Any] = [
    ({"drop_set_cookie": ["lang", "basket"]}, {}, ["routes[0].drop_set_cookie[1]"]),
    ({}, {"drop_set_cookie": ["basket"]}, ["drop_set_cookie[0]"]),
    ({"drop_set_cookie": ["tok"]}, {}, ["routes[0].drop_set_cookie[0]"]),
    ({"drop_set_cookie": ["b%61sket"]}, {}, ["routes[0].drop_set_cookie[0]"]),
]


@pytest.mark.parametrize(("route", "site", "places"), DROPPED)
def test_djangos_own_cookies_are_never_left_out_of_an_answer_by_whatever_name(
    route: dict[str, Any], site: dict[str, Any], places: list[str]
) -> None:
    config = {"routes": [{"path": "/p", "ttl": "60s", **route}], **site}
    names = {"SESSION_COOKIE_NAME": "basket", "CSRF_COOKIE_NAME": "tok"}
    with override_settings(CACHEMW=config, **names), pytest.raises(ImproperlyConfigured) as caught:
        get_cache()
    said = str(caught.value)
    assert [place for place in places if f"{place}: " in said] == places
    assert said.count("is a cookie that the framework sets for one client") == len(places)
