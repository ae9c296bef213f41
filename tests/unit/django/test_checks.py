"""What `manage.py check` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.middleware.gzip import GZipMiddleware
from django.test import override_settings

from tests.doors.apps_django import configure

from .django_site import CACHE

GZIP = "django.middleware.gzip.GZipMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
SECURITY = "django.middleware.security.SecurityMiddleware"
UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
CONFIG: dict[str, Any] = {"routes": [{"path": "/x", "ttl": "1h"}]}
SHARED = {**CONFIG, "redis": "redis://localhost/0"}
MISSING = object()
AUTH = ["django.contrib.contenttypes", "django.contrib.auth"]
"""Their checks may be registered, by other tests."""


class OwnGZip(GZipMiddleware):
    """A project's own."""


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)


def found(config: Any, *middleware: str, deploy: bool = False) -> dict[str, str]:
    """Return what the checks of the application say, by their id."""
    configure()
    with (
        override_settings(MIDDLEWARE=middleware, CACHEMW=config),
        override_settings(INSTALLED_APPS=[*AUTH, "cachemw.django"]),
    ):
        if config is MISSING:
            del settings.CACHEMW
        messages = run_checks(include_deployment_checks=deploy)
    mine = [each for each in messages if str(each.id).startswith("cachemw.")]
    return {str(each.id).removeprefix("cachemw."): f"{each.msg} {each.hint}" for each in mine}


def test_what_is_right_is_not_named() -> None:
    assert found(CONFIG, CACHE, SECURITY, SESSIONS, GZIP) == {}
    assert found(CONFIG, SECURITY, CACHE, SESSIONS) == {}
    assert found(CONFIG) == {}  # a worker, whose writes purge


def test_a_missing_setting_is_named() -> None:
    assert 'CACHEMW = {"routes"' in found(MISSING, CACHE)["E001"]
    assert "nothing is cached or purged" in found(MISSING)["W001"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"routes": [{"path": "/x", "tttl": "1h"}]}, "settings.CACHEMW: routes[0]"),
        (
            {"routes": [{"path": "/x", "ttl": "1h", "identity": "nowhere:who"}]},
            "routes[0].identity",
        ),
        ("nowhere/cachemw.toml", "nowhere/cachemw.toml: cannot be read"),
        (7, "settings: CACHEMW: expected a dict"),
    ],
)
def test_a_broken_setting_is_named_with_its_place(config: object, said: str) -> None:
    assert said in found(config, CACHE)["E002"]
    assert "E002" in found(config)


@pytest.mark.parametrize(
    ("middleware", "name", "said"),
    [
        ((CACHE, SESSIONS, CACHE), "E003", "2 times"),
        (("cachemw.wsgi.CacheMiddleware",), "E004", "Write cachemw.django.CacheMiddleware"),
        ((SESSIONS, CACHE), "W002", SESSIONS),
        ((SECURITY, CSRF, CACHE), "W002", CSRF),
        ((GZIP, CACHE), "W003", GZIP),
        ((f"{__name__}.OwnGZip", CACHE), "W003", "OwnGZip"),
        ((CACHE, UPDATE, FETCH), "W004", f"{UPDATE}, {FETCH}"),
        ((UPDATE, CACHE), "W004", UPDATE),
    ],
)
def test_a_wrong_order_is_named(middleware: tuple[str, ...], name: str, said: str) -> None:
    messages = found(CONFIG, *middleware)
    assert list(messages) == [name]
    assert said in messages[name]


def test_memory_alone_is_named_where_there_are_several_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "with several workers" in found(CONFIG, CACHE, deploy=True)["W005"]
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert found(CONFIG, CACHE)["W005"].startswith("3 workers have no Redis to share")
    assert found(SHARED, CACHE) == {}


def test_a_redis_that_others_could_use_is_named_before_deployment() -> None:
    assert "namespace is 'default'" in found(SHARED, CACHE, deploy=True)["W006"]
    signed = {**SHARED, "secret": "s" * 16, "namespace": "shop"}
    assert found(signed, CACHE, deploy=True) == {}


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cachemw.toml"
    path.write_text('[[routes]]\npath = "/x"\nttl = "1h"\n')
    assert found(path, CACHE) == {}
