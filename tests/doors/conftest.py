"""One suite over seven front doors: every test that asks for `open_door` runs once behind each.

Starlette and FastAPI are mounted behind the ASGI front door, and Flask behind the WSGI one. What they
do differently shows in the modules of `EVERYWHERE`; the other tests run behind them in the thorough run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from cachemw.testing import FakeClock

from . import doors
from .doors import DOORS, Door
from .language import Handler

FRAMEWORKS = ("starlette", "fastapi", "flask")
EVERYWHERE = {"test_hits", "test_pass_through", "test_privacy", "test_storing", "test_streams"}
SLOW_IN_LOOPS = {"test_canary"}
"""Modules of thousands of requests, each of which costs Django ten milliseconds in an event loop."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as thorough what would find the same behind another door, or takes long behind this one."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or item.path.parent.name != "doors":
            continue
        kind, module = callspec.params.get("kind"), item.path.stem
        if (kind in FRAMEWORKS and module not in EVERYWHERE) or (
            kind == "django-async" and module in SLOW_IN_LOOPS
        ):
            item.add_marker(pytest.mark.thorough)


class OpenDoor(Protocol):
    """Mounts handlers behind the front door that the test runs over.

    Every pattern is a cached route with `ttl = "60s"` and the options given; `config` says all of
    that instead where it is given, `settings` adds to it beside the routes.
    """

    def __call__(
        self,
        handlers: Mapping[str, Handler],
        *,
        config: dict[str, Any] | None = None,
        settings: Mapping[str, Any] = ...,
        **options: Any,
    ) -> Door: ...


@pytest.fixture(params=DOORS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_door(kind: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    # Django makes its cache itself: this is how it gets the clock that the others are handed.
    monkeypatch.setattr("cachemw.cache.SystemClock", lambda: clock)
    with ExitStack() as stack:

        def open_one(
            handlers: Mapping[str, Handler],
            *,
            config: dict[str, Any] | None = None,
            settings: Mapping[str, Any] = {},
            **options: Any,
        ) -> Door:
            if config is None:
                routes = [{"path": path, "ttl": "60s", **options} for path in handlers]
                config = {"routes": routes, **settings}
            return stack.enter_context(doors.open_door(kind, handlers, config))

        yield open_one
