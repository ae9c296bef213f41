"""One suite over seven front doors: every test that asks for `open_door` runs once behind each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from cachemw.testing import FakeClock

from . import doors
from .doors import DOORS, Door
from .language import Handler


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
