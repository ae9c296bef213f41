"""Cache-Control of a response, read leniently and applied strictly (RFC 9111 §5.2.2).

Nothing here raises: a directive that cannot be read counts in its more careful meaning. A number
that is no number is zero (RFC 9111 §4.2.1: treat invalid freshness information as stale), of two
differing values of one directive the smaller counts, and a list of field names that cannot be read
is none: `private` and `no-cache` are then about the whole response.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from typing import Any

from msgspec import Struct

from cachemw.http.fields import Fields, split_list

__all__ = [
    "FLAGS",
    "MAX_SECONDS",
    "QUALIFIED",
    "SECONDS",
    "CacheControl",
    "delta_seconds",
    "parse",
    "quoted_names",
]

MAX_SECONDS = 2**31
"""RFC 9111 §1.2.2: a larger number of seconds counts as this one."""


class CacheControl(Struct, frozen=True, kw_only=True):
    """The directives that a shared cache acts on; seconds as whole numbers, None where absent."""

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    private_fields: frozenset[bytes] = frozenset()
    """Lower-case names of `private="..."`: of one client, the rest is for all (RFC 9111 §5.2.2.7)."""
    no_cache_fields: frozenset[bytes] = frozenset()
    """Lower-case names of `no-cache="..."`: not to be reused unasked (RFC 9111 §5.2.2.4)."""
    targeted: bool = False
    """Read from a targeted field, which decides alone: Expires does not count (RFC 9213 §2.2)."""

    @property
    def forbids_stale(self) -> bool:
        """Whether a stale answer is out of the question (RFC 9111 §4.2.4); s-maxage implies it."""
        return (
            self.must_revalidate
            or self.proxy_revalidate
            or self.s_maxage is not None
            or self.no_cache
        )

    @property
    def shares_authorized(self) -> bool:
        """Whether a response to a request with Authorization may be shared (RFC 9111 §3.5)."""
        return self.public or self.must_revalidate or self.s_maxage is not None

    @property
    def omitted(self) -> frozenset[bytes]:
        """The fields that are left out of what is stored."""
        return self.private_fields | self.no_cache_fields


FLAGS = {
    b"no-store": "no_store",
    b"no-cache": "no_cache",
    b"private": "private",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
    b"immutable": "immutable",  # RFC 8246
}
SECONDS = {
    b"max-age": "max_age",
    b"s-maxage": "s_maxage",
    b"stale-while-revalidate": "stale_while_revalidate",
    b"stale-if-error": "stale_if_error",
}
QUALIFIED = {b"private": "private_fields", b"no-cache": "no_cache_fields"}
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_NAMES: frozenset[bytes] = frozenset()
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
        if name in QUALIFIED and (names := quoted_names(value.strip())):
            found[QUALIFIED[name]] = names | found.get(QUALIFIED[name], _NO_NAMES)
        elif flag := FLAGS.get(name):
            found[flag] = True
        elif directive := SECONDS.get(name):
            number = delta_seconds(value)
            found[directive] = min(number, found.get(directive, number))
    return CacheControl(**found)


def quoted_names(value: bytes) -> frozenset[bytes]:
    """Read a quoted list of field names in lower case; empty where it is not exactly that.

    RFC 9111 §5.2.2.4 has it quoted always: `private=true` is someone who means the whole response.
    """
    if len(value) < 2 or not value.startswith(b'"') or not value.endswith(b'"'):
        return _NO_NAMES
    names = frozenset(name.strip().lower() for name in value[1:-1].split(b",")) - {b""}
    return names if all(map(_NAME.fullmatch, names)) else _NO_NAMES


def delta_seconds(value: bytes) -> int:
    """Read a number of seconds (RFC 9111 §1.2.2), quoted or not; what is no number is zero."""
    digits = value.strip().strip(b'"')
    if not digits.isdigit():
        return 0
    digits = digits.lstrip(b"0") or b"0"
    # No more than 10 digits are read: int() of a million digits is an attack, not a lifetime.
    return MAX_SECONDS if len(digits) > 10 else min(int(digits), MAX_SECONDS)
