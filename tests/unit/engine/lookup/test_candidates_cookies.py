"""Entries that were made by reading cookies: not for a client that has such a cookie."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.engine.lookup.candidates import NOTHING, candidate
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.keying import Bypass
from cachemw.http.messages import Request
from tests.support.engine import ROUTE, Kit, get, step

PERSONAL = {**ROUTE, "personal_cookies": ["sid"]}
THEME = get("/products/1", (b"cookie", b"theme=dark"))
OTHER = get("/products/1", (b"cookie", b"basket=1"))


def kit_of(route: dict[str, Any], *, watches: bool = True) -> Kit:
    kit = Kit(route)
    if watches:
        kit.engine.watch_cookies([0])
    return kit


def serves(kit: Kit, request: Request, *tags: str) -> bool:
    asked = kit.asked(request)
    entry = kit.entry(asked.key, tags=("product:1", *tags))
    found = candidate(kit.engine, asked, entry, kit.now, Outcome.HIT_SHARED, Outcome.STALE_SHARED)
    return found is not NOTHING


JUDGED: list[Any] = [
    pytest.param(get(), ("@cookie:theme",), True, id="no cookie"),
    pytest.param(THEME, ("@cookie:theme",), False, id="one that was read"),
    pytest.param(OTHER, ("@cookie:theme",), True, id="another one"),
    pytest.param(OTHER, ("@cookie:(all)",), False, id="all were read"),
    pytest.param(get(), ("@cookie:(all)",), True, id="all were read, and there are none"),
    pytest.param(THEME, ("@cookie:(none)",), True, id="none was read"),
    pytest.param(THEME, (), False, id="nobody watched"),
    pytest.param(get(), (), False, id="nobody watched: for those without cookies neither"),
]


@pytest.mark.parametrize(("request_", "tags", "served"), JUDGED)
def test_an_entry_is_for_whoever_has_none_of_its_cookies(
    request_: Request, tags: tuple[str, ...], served: bool
) -> None:
    assert serves(kit_of(PERSONAL), request_, *tags) is served


def test_what_it_was_made_from_is_known_before_memory_has_it() -> None:
    kit = kit_of(PERSONAL)
    assert serves(kit, get(), "@cookie:theme")
    found = kit.classify(THEME)
    assert isinstance(found, Bypass)
    assert found.reason == "personal-cookie"


def test_a_route_that_nobody_watches_learns_from_those_that_were() -> None:
    """As in a command, beside the application."""
    kit = kit_of(PERSONAL, watches=False)
    assert serves(kit, THEME)
    assert not serves(kit, THEME, "@cookie:theme")


@pytest.mark.parametrize("options", [{}, {"cookies": []}, {"cookies": ["a"]}], ids=str)
def test_a_route_with_lists_of_its_own_asks_nothing(options: dict[str, Any]) -> None:
    kit = kit_of({**ROUTE, **options})
    request = get() if not options else THEME
    assert serves(kit, request)
    assert serves(kit, request, "@cookie:theme")
    assert not kit.engine.routes[0].cookies.reads.names


def test_an_entry_that_nobody_watched_is_not_put_into_memory() -> None:
    kit = kit_of(PERSONAL)
    asked = kit.asked(get())
    flow = kit.flow(get())
    step(flow)
    step(flow, (kit.entry(asked.key), kit.now))
    assert kit.hit(get()) is None
