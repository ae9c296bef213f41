"""Cache-Control of a request (RFC 9111 §5.2.1): what a client asks of a cache.

Nothing here raises; what cannot be read counts as zero. Of two differing values the one counts that
asks for more freshness. A cache may be told not to listen: that is for whoever calls this.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import chain
from typing import Any

from msgspec import Struct

from cachemw.http.cache_control import delta_seconds
from cachemw.http.fields import Fields, split_list

__all__ = ["RequestControl", "accepts_stale", "parse", "wants_validation"]


class RequestControl(Struct, frozen=True, kw_only=True):
    """What a client asks; seconds, None where it says nothing."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int | None = None
    max_stale: float | None = None
    """`math.inf` where the client takes any stale answer."""


_FLAGS = {
    b"no-cache": "no_cache",
    b"no-store": "no_store",
    b"only-if-cached": "only_if_cached",
}
_NOTHING = RequestControl()
_MAX_REMEMBERED = 256
"""Bytes. Clients write these lines: what is longer than any browser's is read, not remembered."""


def parse(fields: Fields) -> RequestControl:
    """Read every Cache-Control line of a request, or `Pragma: no-cache` where there is none."""
    if b"cache-control" in fields:
        lines = tuple(fields.values(b"cache-control"))
        return _remembered(lines) if sum(map(len, lines)) <= _MAX_REMEMBERED else _parse(lines)
    if b"pragma" in fields and any(m.lower() == b"no-cache" for m in fields.members(b"pragma")):
        return RequestControl(no_cache=True)  # RFC 9111 §5.4
    return _NOTHING


def _parse(lines: tuple[bytes, ...]) -> RequestControl:
    found: dict[str, Any] = {}
    for member in chain.from_iterable(map(split_list, lines)):
        name, equals, value = member.partition(b"=")
        name = name.strip().lower()
        if flag := _FLAGS.get(name):
            found[flag] = True
        elif name == b"max-age":
            found["max_age"] = min(delta_seconds(value), found.get("max_age", math.inf))
        elif name == b"min-fresh":
            found["min_fresh"] = max(delta_seconds(value), found.get("min_fresh", 0))
        elif name == b"max-stale":
            stale = delta_seconds(value) if equals else math.inf
            found["max_stale"] = min(stale, found.get("max_stale", math.inf))
    return RequestControl(**found)


_remembered = lru_cache(maxsize=512)(_parse)


def wants_validation(
    control: RequestControl, *, age: float, lifetime: float, immutable: bool
) -> bool:
    """Say whether a stored response that is `age` seconds old is not good enough for this client.

    `lifetime` is its freshness lifetime. One that will not change while it is fresh is not asked
    about because a client reloads (RFC 8246 §2), but is where it says no-cache.
    """
    if control.no_cache:
        return True
    # §5.2.1.1: zero is what a reload says, and means it within the same instant too.
    too_old = control.max_age is not None and (age > control.max_age or control.max_age == 0)
    if too_old and not (immutable and age < lifetime):
        return True
    return control.min_fresh is not None and lifetime - age < control.min_fresh


def accepts_stale(control: RequestControl, *, staleness: float, forbids_stale: bool) -> bool:
    """Say whether this client takes an answer that has been stale for that many seconds (§5.2.1.2).

    `forbids_stale` is the stored response's own word, which no client overrules (§4.2.4).
    """
    if forbids_stale or control.no_cache or control.max_stale is None:
        return False
    return staleness <= control.max_stale
