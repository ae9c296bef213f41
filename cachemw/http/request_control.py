"""Cache-Control of a request: what a client asks of a cache.

Nothing here raises. Whether a route listens to its clients at all (`client_directives`) is decided by
the caller.

Rules:

- `no-cache`, `no-store`, `only-if-cached`, `max-age`, `min-fresh` and `max-stale` are read
  (RFC 9111 §5.2.1).
- A number that cannot be read is zero (RFC 9111 §4.2.1).
- If one directive has several values, the one counts that asks for more freshness
  (RFC 9111 §4.2.1).
- `Pragma: no-cache` counts as `no-cache` where there is no Cache-Control (RFC 9111 §5.4).
- `no-cache`, an age above `max-age`, and a rest of freshness below `min-fresh` ask for validation
  (RFC 9111 §5.2.1.1, §5.2.1.3, §5.2.1.4).
- A fresh `immutable` response is not validated because of `max-age` (RFC 8246 §2).
- `max-stale` accepts a stale response, unless that response forbids it
  (RFC 9111 §4.2.4, §5.2.1.2).
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
    """The directives of one request. Times are in seconds; None: absent."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int | None = None
    max_stale: float | None = None
    """`math.inf`: the client accepts any stale answer (`max-stale` without a value)."""


_FLAGS = {
    b"no-cache": "no_cache",
    b"no-store": "no_store",
    b"only-if-cached": "only_if_cached",
}
_NOTHING = RequestControl()
_MAX_CACHED = 256
"""Bytes. Clients choose these values, so long ones are not kept in memory (I4). No browser sends more."""


def parse(fields: Fields) -> RequestControl:
    """Parse every Cache-Control line of a request, or `Pragma: no-cache` if there is none."""
    if b"cache-control" in fields:
        lines = tuple(fields.values(b"cache-control"))
        return _parse_cached(lines) if sum(map(len, lines)) <= _MAX_CACHED else _parse(lines)
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


_parse_cached = lru_cache(maxsize=512)(_parse)


def wants_validation(
    control: RequestControl, *, age: float, lifetime: float, immutable: bool
) -> bool:
    """Tell whether this client wants a stored response to be validated before it is served.

    `age` and `lifetime` are the stored response's, in seconds. An `immutable` response is not
    validated when a client merely reloads (RFC 8246 §2), but it is if the client sends `no-cache`.
    """
    if control.no_cache:
        return True
    # RFC 9111 §5.2.1.1. A reload sends max-age=0, and means it even if the age is 0 as well.
    too_old = control.max_age is not None and (age > control.max_age or control.max_age == 0)
    if too_old and not (immutable and age < lifetime):
        return True
    return control.min_fresh is not None and lifetime - age < control.min_fresh


def accepts_stale(control: RequestControl, *, staleness: float, forbids_stale: bool) -> bool:
    """Tell whether this client accepts an answer that is stale for `staleness` seconds (RFC 9111 §5.2.1.2).

    `forbids_stale` is what the stored response says; no client can overrule it (RFC 9111 §4.2.4).
    """
    if forbids_stale or control.no_cache or control.max_stale is None:
        return False
    return staleness <= control.max_stale
