"""Each fault of the kit, by name, costs an application behind the cache nothing but the shared tier."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from cachemw.testing import ChaosProxy, RedisServer
from tests.support.sites import Site, median
from tests.support.waiting import until

ASKED = 40
BOUND = 0.075 + 0.05
"""Seconds: what the promise I3 allows to be added, and what a busy machine may."""
LONGEST = 3.0
"""Seconds for one request, on a machine that others use: not a promise, but no hang."""
WAITED = 0.04
"""Seconds after which a request counts as one that waited: nearly `redis.deadline`."""
WAITED_AT_MOST = 7
"""Requests that may have waited. Five failures open the breaker, and a miss has two; without the
breaker it is ten or more, until the log's follower gives up."""
BACK = 3.0
"""Seconds after which Redis is in use again once it is back."""


class Fault(NamedTuple):
    inflict: Callable[[RedisServer, ChaosProxy], object]
    heal: Callable[[RedisServer, ChaosProxy], object]
    guard: str
    """What the promise rests on."""


DEADLINE = "redis.deadline of `Node`, and `Retry(NoBackoff(), 0)`"
BREAKER = "the breaker, which is told of timeouts as of errors"
MAPPED = "StoreUnavailable for every RedisError, and for OSError"
TRICKLED = "`reply_within_deadline`, for threads; the deadline around the command, for event loops"
SLICED = "redis-py reads on until a reply is whole"
LOST = f"{MAPPED}, until the log's follower, cut off too, trips the breaker"

FAULTS: dict[str, Fault] = {
    "slow": Fault(lambda s, p: p.slow("500ms"), lambda s, p: p.normal(), f"{DEADLINE}; {BREAKER}"),
    "sliced": Fault(lambda s, p: p.slice(64, "1ms"), lambda s, p: p.normal(), SLICED),
    "trickled": Fault(
        lambda s, p: p.slice(1, "20ms"), lambda s, p: p.normal(), f"{TRICKLED}; {BREAKER}"
    ),
    "cut": Fault(lambda s, p: p.cut(), lambda s, p: p.normal(), LOST),
    "cut in mid-reply": Fault(lambda s, p: p.cut_after(10), lambda s, p: p.normal(), MAPPED),
    "half-closed": Fault(lambda s, p: p.half_close(), lambda s, p: p.normal(), LOST),
    "swallowed": Fault(lambda s, p: p.swallow(), lambda s, p: p.normal(), f"{DEADLINE}; {BREAKER}"),
    "refused": Fault(lambda s, p: p.refuse(), lambda s, p: p.normal(), LOST),
    "hung": Fault(lambda s, p: s.hang(), lambda s, p: s.resume(), f"{DEADLINE}; {BREAKER}"),
    "killed": Fault(lambda s, p: s.kill(), lambda s, p: s.start(), LOST),
    "full": Fault(lambda s, p: s.fill(), lambda s, p: s.unfill(), MAPPED),
    "read-only": Fault(lambda s, p: s.read_only(), lambda s, p: s.writable(), LOST),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_no_request_and_is_over_when_it_is_over(
    own_redis_server: RedisServer,
    site_of: Callable[[str | None], Site],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    # Guards: `FAULTS` names them. The doors have a net below, which must not be needed: it logs.
    with ChaosProxy(own_redis_server.url) as proxy:
        bare = site_of(None)
        usual = median([bare.ask(bare.page()) for _ in range(ASKED)])
        site = site_of(proxy.url)
        site.join()
        FAULTS[name].inflict(own_redis_server, proxy)
        answers = []
        for _ in range(ASKED):
            answers.append(site.ask(site.page()))
            site.cache.memory.clear()
        FAULTS[name].heal(own_redis_server, proxy)
        until(site.uses_redis, limit=BACK)
    assert "_failed" not in caplog.text
    assert median(answers) - usual <= BOUND
    assert len([each for each in answers if each.seconds > WAITED]) <= WAITED_AT_MOST
    assert max(answer.seconds for answer in answers) <= LONGEST
