"""A cache in a process that its server reloads."""

from __future__ import annotations

import pytest

from cachemw import Cache

ROUTES = {"routes": [{"name": "p", "path": "/p", "ttl": "60s"}]}


@pytest.fixture
def _reloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")


@pytest.mark.usefixtures("_reloaded")
def test_where_a_server_reloads_the_cache_is_off_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Cache.from_dict(ROUTES).explain("GET", "/p").reason == "off"
    assert "event=off_in_development" in caplog.text
    assert "werkzeug reloads" in caplog.text


@pytest.mark.usefixtures("_reloaded")
@pytest.mark.parametrize("said", [{"cache_in_development": True}, {"kill": True}], ids=str)
def test_what_the_configuration_says_itself_needs_no_warning(
    said: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache.from_dict({**ROUTES, **said})
    assert (cache.explain("GET", "/p").reason == "off") is ("kill" in said)
    assert "off_in_development" not in caplog.text
