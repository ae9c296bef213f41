"""Memory under pressure, through a front door: hot pages stay, it is told, and it ends by itself."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cachemw import Cache
from cachemw.testing import FakeClock
from cachemw.wsgi import CacheMiddleware
from tests.support.calls import call_wsgi
from tests.support.waiting import until

MIB = 1 << 20
ROUTE = {"name": "things", "path": "/things/{id}", "ttl": "1h", "risk": "low", "tags": ["things"]}

Fields = dict[str, str]


class Site:
    """An application whose bodies are as long as the query says, behind a cache."""

    def __init__(self, max_size: int, clock: FakeClock | None = None, **memory: Any) -> None:
        config = {"routes": [ROUTE], "memory": {"max_size": max_size, **memory}}
        self.cache = Cache.from_dict(config, clock=clock)
        self.door = CacheMiddleware(self._answer, self.cache)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [bytes(int(environ["QUERY_STRING"]))]

    def get(self, name: object, size: int = 1000) -> Fields:
        """Ask once; gives the answer's fields."""
        response = call_wsgi(self.door, f"/things/{name}", QUERY_STRING=str(size))
        assert len(response.body) == size
        return response.headers

    def fill(self, prefix: str, count: int = 1000) -> None:
        """Ask for new pages: many more than there is room for."""
        for number in range(count):
            self.get(f"{prefix}{number}")
        assert self.cache.memory.evictions > 0


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The lines about memory, as they come."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "memory_" in record.getMessage():
                lines.append(re.sub(r"(used|limit)=\d+", r"\1=…", record.getMessage()))

    handler = Handler()
    logger = logging.getLogger("cachemw.faults")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.mark.thorough
def test_fifty_thousand_random_keys_do_not_push_out_what_is_asked_for() -> None:
    """A million of them are in `bench/flood.py`. Fails without `visited`."""
    site, rng = Site(8 * MIB), random.Random(1)
    for number in range(200):
        site.get(f"hot{number}")
    for number in range(50_000):
        site.get(rng.getrandbits(60))
        assert "; hit" in site.get(f"hot{number % 200}")["cache-status"]
        assert site.cache.memory.size <= 8 * MIB
    assert site.cache.memory.evictions > 40_000


def test_a_full_tier_is_no_pressure(said: list[str], clock: FakeClock) -> None:
    """Fails where the size of the tier is compared with its own limit."""
    site = Site(MIB, clock, planned_size=MIB // 2, process_limit=1 << 40)
    for _ in range(3):
        site.fill("page")
        clock.advance(1)
    assert said == []
    stats = site.cache.stats()
    assert (stats.gauges["memory_pressure"], stats.events.get("memory_pressure")) == (0, None)
    assert stats.gauges["memory_planned"] == MIB // 2


def test_a_process_near_its_memory_limit_is_counted_and_told_once(
    said: list[str], clock: FakeClock
) -> None:
    site = Site(MIB, clock, process_limit=MIB)  # this process has more than that
    for _ in range(3):
        site.fill("page")
        clock.advance(1)
    assert [line.split(" shed")[0] for line in said] == [
        "event=memory_pressure level=alert used=… limit=…"
    ]
    stats = site.cache.stats()
    assert stats.events["memory_pressure"] == {"alert": 1}
    assert stats.gauges["memory_pressure"] == 2


def test_what_a_purge_kills_leaves_memory(clock: FakeClock) -> None:
    site = Site(MIB, clock)
    site.fill("page")
    assert site.cache.purge(everything=True).confirmed
    # Fails where a purge leaves in memory what it kills.
    until(lambda: site.cache.memory.size == 0)
    site.cache.close()


def test_without_a_plan_there_is_no_gauge_of_it() -> None:
    assert "memory_planned" not in Site(MIB).cache.stats().gauges


def test_clients_are_told_the_true_age_and_lifetime_of_an_answer_that_leaves_early(
    clock: FakeClock,
) -> None:
    site = Site(MIB, clock, process_limit=MIB)
    site.fill("page")
    for _ in range(2):  # at the second time it is let in
        site.get("large", 20_000)
    clock.advance(100)
    fields = site.get("large", 20_000)
    assert (fields["age"], fields["cache-status"]) == (
        "100",
        "cachemw; hit; ttl=3500; detail=memory",
    )
    clock.advance(500)  # a twentieth of the hour is 180 s
    for number in range(3000):
        site.get(f"page{number % 900}")
    assert "fwd=uri-miss" in site.get("large", 20_000)["cache-status"]
