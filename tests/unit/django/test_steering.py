"""What Django's settings make it read of a request is in the key."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.test import override_settings
from django.utils.translation import get_language

from cachemw.config import config_from
from cachemw.django import get_cache
from cachemw.django.registry import get_config
from cachemw.django.steering import Steering, steered

from .site import CACHE, open_site

INTERFACES = ["wsgi", "asgi"]
SECURITY = "django.middleware.security.SecurityMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"
CLOUDFRONT = ("HTTP_CLOUDFRONT_FORWARDED_PROTO", "https")
LANGUAGES = {"USE_I18N": True, "LANGUAGES": [("en", "English"), ("fr", "French")]}


class OwnLocale(LocaleMiddleware):
    """A project's own."""


def address(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.scheme} {request.get_host()} {request.get_port()}")


def language(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_language(), headers={"Cache-Control": "public, max-age=60"})


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_header_of_secure_proxy_ssl_header_is_in_the_key(interface: str) -> None:
    # Guard: `Steering.headers`. Else the redirect to HTTPS of a visitor over HTTP is for everybody.
    settings = {"SECURE_SSL_REDIRECT": True, "SECURE_PROXY_SSL_HEADER": CLOUDFRONT}
    with open_site(
        {"/p": address},
        interface=interface,
        middleware=[CACHE, SECURITY],
        settings=settings,
        cookies=[],
    ) as site:
        for _ in range(2):
            assert site.get("/p", {"CloudFront-Forwarded-Proto": "http"}).status == 301
            secure = site.get("/p", {"CloudFront-Forwarded-Proto": "https"})
            assert (secure.status, secure.body) == (200, b"https shop.example 80")
            assert site.get("/p").status == 301
        assert site.get("/p", {"CloudFront-Forwarded-Proto": "https"}).hit


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("USE_X_FORWARDED_HOST", "X-Forwarded-Host", "evil.example"),
        ("USE_X_FORWARDED_PORT", "X-Forwarded-Port", "4711"),
    ],
)
def test_forwarded_hosts_and_ports_are_in_the_key(
    name: str, field: str, value: str, interface: str
) -> None:
    with open_site({"/p": address}, interface=interface, settings={name: True}) as site:
        for _ in range(2):
            assert value.encode() in site.get("/p", {field: value}).body
            assert site.get("/p").body == b"http shop.example 80"


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("cookies", [None, [], ["theme"]], ids=repr)
@pytest.mark.parametrize(
    "locale", [LOCALE, f"{__name__}.OwnLocale"], ids=["django's", "a subclass"]
)
@pytest.mark.parametrize("name", ["django_language", "tongue"])
def test_the_language_cookie_is_in_the_key(
    interface: str, cookies: list[str] | None, locale: str, name: str
) -> None:
    # Guard: `Steering.cookies`, and `RouteState.keyed_cookies` where the route lists no cookies.
    options = {} if cookies is None else {"cookies": cookies}
    with open_site(
        {"/p": language},
        interface=interface,
        middleware=[CACHE, locale],
        settings={**LANGUAGES, "LANGUAGE_COOKIE_NAME": name},
        **options,
    ) as site:
        for _ in range(2):
            assert site.get("/p", {"Cookie": f"{name}=fr"}).body == b"fr"
            assert site.get("/p", {"Cookie": f"{name}=en"}).body == b"en"
            assert site.get("/p").body == b"en"
            assert site.get("/p", {"Accept-Language": "fr"}).body == b"fr"
        assert site.get("/p", {"Cookie": f"{name}=fr"}).hit
        assert site.get("/p").hit


@pytest.mark.parametrize("interface", INTERFACES)
def test_an_answer_for_everybody_is_for_everybody_of_one_language(interface: str) -> None:
    with open_site(
        {"/p": language}, interface=interface, middleware=[CACHE, LOCALE], settings=LANGUAGES
    ) as site:
        site.get("/p", {"Cookie": "sid=1; django_language=fr"})
        reply = site.get("/p", {"Cookie": "django_language=fr; sid=2"})
        assert (reply.body, reply.hit) == (b"fr", True)


def test_without_a_middleware_for_languages_their_cookie_does_not_count() -> None:
    with open_site({"/p": address}, settings=LANGUAGES, cookies=[]) as site:
        site.get("/p")
        assert site.get("/p", {"Cookie": "django_language=fr"}).hit


def test_what_a_route_declares_itself_stays() -> None:
    routes = [
        {"path": "/a", "ttl": "60s", "vary": ["X-Own"], "keyed_cookies": ["own"]},
        {"path": "/b", "ttl": "60s", "vary": ["x-scheme"], "cookies": []},
    ]
    config = config_from({"routes": routes, "namespace": "n"})
    found = steered(config, Steering(("x-scheme",), ("tongue",)))
    assert [route.vary for route in found.routes] == [("x-own", "x-scheme"), ("x-scheme",)]
    assert [route.keyed_cookies for route in found.routes] == [("own", "tongue"), ("tongue",)]
    assert [route.cookies for route in found.routes] == [None, ()]
    assert steered(config, Steering((), ())) is config


CHANGES: list[dict[str, Any]] = [
    {"SECURE_PROXY_SSL_HEADER": CLOUDFRONT},
    {"MIDDLEWARE": [CACHE, LOCALE]},
    {"CACHEMW": {"routes": []}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_cache_is_made_anew_when_a_test_changes_what_steers_it(change: dict[str, Any]) -> None:
    with open_site({"/p": address}) as site:
        with override_settings(**change):
            assert get_cache() is not site.cache
            assert get_cache().config == get_config()
        assert get_cache().config == site.cache.config


def test_other_changes_leave_the_cache_as_it_is() -> None:
    with open_site({"/p": address}) as site, override_settings(MIDDLEWARE=[CACHE, SECURITY]):
        assert get_cache() is site.cache


def test_what_cannot_be_imported_is_no_matter_of_the_cache() -> None:
    middleware = [CACHE, "no.such.Middleware"]
    with override_settings(MIDDLEWARE=middleware, CACHEMW={"routes": []}):
        assert get_config().routes == ()
