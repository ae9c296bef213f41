"""The cache of the process under DEBUG: an edited template shows at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import Client, override_settings
from django.urls import path

from cachemw.django import get_cache
from tests.doors.apps_django import configure

from .django_site import CACHE

ROUTES = {"routes": [{"path": "/p", "ttl": "60s"}]}


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html")


@pytest.fixture
def template(tmp_path: Path) -> Iterator[Path]:
    """A project whose one page is made from this template."""
    configure()
    urls = ModuleType("debug_urls")
    urls.__dict__["urlpatterns"] = [path("p", page)]
    engine = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [("django.template.loaders.filesystem.Loader", [str(tmp_path)])],
        },
    }
    found = tmp_path / "page.html"
    found.write_text("old", encoding="utf-8")
    with override_settings(
        ALLOWED_HOSTS=["testserver"],
        CACHEMW=ROUTES,
        MIDDLEWARE=[CACHE],
        ROOT_URLCONF=urls,
        TEMPLATES=[engine],
    ):
        yield found


def debugged(**config: Any) -> Any:
    """Begin a process with DEBUG and this configuration."""
    return override_settings(DEBUG=True, CACHEMW={**ROUTES, **config})


def read(client: Client) -> tuple[bytes, str]:
    response = client.get("/p")
    return response.content, response["Cache-Status"]


def test_under_debug_an_edited_template_shows_at_once(
    template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    with debugged():
        assert read(client) == (b"old", "cachemw; fwd=bypass; detail=off")
        template.write_text("new", encoding="utf-8")
        assert read(client)[0] == b"new"
        assert len(get_cache().memory) == 0
    assert "event=off_in_development because=DEBUG" in caplog.text


def test_under_debug_the_cache_works_if_the_setting_says_so(
    template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    with debugged(cache_in_development=True):
        read(client)
        template.write_text("new", encoding="utf-8")
        body, status = read(client)
        assert body == b"old"
        assert "; hit" in status
    assert "off_in_development" not in caplog.text


def test_a_test_runner_that_switches_debug_off_gets_a_cache(template: Path) -> None:
    # Guard: `get_cache` looks at DEBUG again where it was on. The cache may have been made before.
    client = Client()
    with debugged():
        assert "detail=off" in read(client)[1]
        with override_settings(DEBUG=False):
            assert "stored" in read(client)[1]
            assert "; hit" in read(client)[1]


def test_a_test_with_debug_keeps_its_cache(template: Path) -> None:
    cache = get_cache()
    with override_settings(DEBUG=True):
        assert get_cache() is cache


def test_a_cache_that_is_killed_by_configuration_says_nothing_of_development(
    template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with debugged(kill=True):
        assert "detail=off" in read(Client())[1]
    assert "off_in_development" not in caplog.text
