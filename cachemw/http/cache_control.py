"""Cache-Control of a response, read leniently and applied strictly (RFC 9111 §5.2.2).

Nothing here raises: a directive that cannot be read counts in its more careful meaning. A number
that is no number is zero (RFC 9111 §4.2.1: treat invalid freshness information as stale), and of
two differing values of one directive the smaller counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from cachemw.http.fields import Fields, split_list

__all__ = ["MAX_SECONDS", "CacheControl", "delta_seconds", "parse"]

MAX_SECONDS = 2**31
"""RFC 9111 §1.2.2: a larger number of seconds counts as this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheControl:
    """The directives that a shared cache acts on; seconds as whole numbers, None where absent."""

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None

    @property
    def forbids_stale(self) -> bool:
        """Whether a stale answer is out of the question (RFC 9111 §4.2.4); s-maxage implies it."""
        return self.must_revalidate or self.proxy_revalidate or self.s_maxage is not None

    @property
    def shares_authorized(self) -> bool:
        """Whether a response to a request with Authorization may be shared (RFC 9111 §3.5)."""
        return self.public or self.must_revalidate or self.s_maxage is not None


# The qualified forms private="field" and no-cache="field" count as the unqualified ones: the
# more careful reading that RFC 9111 §5.2.2.4 and §5.2.2.7 leave to a cache.
_FLAGS = {
    b"no-store": "no_store",
    b"no-cache": "no_cache",
    b"private": "private",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
}
_SECONDS = {
    b"max-age": "max_age",
    b"s-maxage": "s_maxage",
    b"stale-while-revalidate": "stale_while_revalidate",
    b"stale-if-error": "stale_if_error",
}
_NOTHING = CacheControl()


def parse(fields: Fields) -> CacheControl:
    """Read every Cache-Control line of a response; `Pragma` is no response field and is not read."""
    if b"cache-control" not in fields:
        return _NOTHING
    return _parse(tuple(fields.values(b"cache-control")))


@lru_cache(maxsize=512)  # an application says the same few things over and over
def _parse(lines: tuple[bytes, ...]) -> CacheControl:
    found: dict[str, Any] = {}
    # Line by line: a quote that never closes must not swallow a refusal on the next line.
    for member in chain.from_iterable(map(split_list, lines)):
        name, _, value = member.partition(b"=")
        name = name.strip().lower()
        if flag := _FLAGS.get(name):
            found[flag] = True
        elif directive := _SECONDS.get(name):
            number = delta_seconds(value)
            found[directive] = min(number, found.get(directive, number))
    return CacheControl(**found)


def delta_seconds(value: bytes) -> int:
    """Read a number of seconds (RFC 9111 §1.2.2), quoted or not; what is no number is zero."""
    digits = value.strip().strip(b'"')
    if not digits.isdigit():
        return 0
    digits = digits.lstrip(b"0") or b"0"
    # No more than 10 digits are read: int() of a million digits is an attack, not a lifetime.
    return MAX_SECONDS if len(digits) > 10 else min(int(digits), MAX_SECONDS)
