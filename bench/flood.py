"""A million keys that are requested once, beside a few hundred popular pages.

Measured: how many hits of the popular pages are lost, which must be none, and the size of the memory
tier as a share of its limit.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from bench import wsgi_calls
from bench.constants import BODY, TEXT_HEADERS, config
from bench.effort import Effort
from bench.rows import Row
from cachemw import Cache
from cachemw.wsgi import CacheMiddleware

__all__ = ["flood"]

_CAP = 8 << 20
_HOT = 200


def _origin(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Return a response with a body of its own, so that entries cannot share it."""
    start_response("200 OK", TEXT_HEADERS.copy())
    return [bytes(bytearray(BODY))]


def flood(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    cache = Cache.from_dict(config(memory={"max_size": _CAP}))
    app = CacheMiddleware(_origin, cache)
    chance = random.Random(2)
    hot = [f"/products/{number}" for number in range(_HOT)]
    for url in hot:
        wsgi_calls.ask(app, url)
    highest = 0
    for number in range(effort.flood):
        wsgi_calls.ask(app, f"/orders/{chance.getrandbits(60)}")
        wsgi_calls.ask(app, hot[number % _HOT])
        highest = max(highest, cache.memory.size)
    hits = cache.stats().by_label["hit_memory"]
    lost = effort.flood - hits
    is_reached = lost == 0 and highest <= _CAP
    yield Row(
        what=f"{effort.flood:,} random keys while {_HOT} pages are requested, cap {_CAP >> 20} MiB",
        measured=f"{lost:,} of {effort.flood:,} hits lost; size at most {highest / _CAP:.1%} of the cap",
        must="none lost, ≤ 100 %",
        verdict="reached" if is_reached else "NOT REACHED",
        figures={"lost": lost, "highest": highest},
    )
