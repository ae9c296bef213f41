"""Everything that a cache does with Redis, once: `live_once` sends each command that a cache can send."""

from __future__ import annotations

import threading
from typing import Any

from cachemw import Cache
from tests.support.caches import Caches, Site
from tests.support.waiting import until

__all__ = ["live_once"]

PLAN = {
    "warm_up": 0,
    "phases": [
        {
            "name": "only",
            "risks": ["low"],
            "duration": "1h",
            "interval": "200ms",
            "steps": ["on"],
            "watch": ["errors"],
        }
    ],
}


def live_once(caches: Caches, **changes: Any) -> None:
    """Serve, wait for leases, purge, change flags, roll out, and look at everything."""
    changes = {"coalesce": {"lease": "300ms"}, **changes}
    here, there = Site(caches.make(**changes)), Site(caches.make(**changes))
    _share(here, there)
    _lead(here, there)
    _purge(here, there)
    _look(here.cache)
    _roll_out(here.cache, there.cache)


def _share(here: Site, there: Site) -> None:
    here.get("/things/1")
    assert "detail=shared" in there.get("/things/1").cache_status
    here.cache.explain("GET", "/things/1")


def _lead(here: Site, there: Site) -> None:
    """Let one process wait for the other, longer than a lease lasts; then store nothing."""
    called, answers = threading.Event(), threading.Event()

    def pause() -> None:
        called.set()
        answers.wait(20)

    here.pausing = pause
    leader = threading.Thread(target=here.get, args=("/things/2",))
    leader.start()
    called.wait(20)
    follower = threading.Thread(target=there.get, args=("/things/2",))
    follower.start()
    leases = here.cache._core.redis.leases  # type: ignore[union-attr]
    held = next(iter(leases._held.values()))
    taken = held.renewed
    until(lambda: held.renewed > taken)
    answers.set()
    leader.join()
    follower.join()
    assert there.calls == 0
    here.fields = [("Cache-Control", "no-store")]
    here.get("/things/3")


def _purge(here: Site, there: Site) -> None:
    until(lambda: here.cache.purge(tags=["thing:1"]).status == "confirmed")
    assert not there.hits("/things/1")
    here.cache.purge(tags=["things"], soft=True)
    here.cache.purge(everything=True)


def _look(cache: Cache) -> None:
    cache.preview(tags=["things"])
    list(cache.inspection.shared())
    until(lambda: len(cache.fleet_stats().processes) == 2)  # type: ignore[union-attr]


def _roll_out(here: Cache, there: Cache) -> None:
    assert here.flags.set(low="on", medium="off")
    until(lambda: there.flags.states()["medium"] == "off")
    here.rollout.start(PLAN, by="ada")
    documents = there._core.redis.rollout  # type: ignore[union-attr]
    until(documents.looks)
    here.rollout.roll_back(by="ada", reason="enough")
    assert there.rollout.history()
    assert documents.probe() == ""  # as the check of health after a rollback does
