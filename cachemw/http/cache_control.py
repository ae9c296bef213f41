"""Cache-Control of a response: read leniently, applied strictly.

Nothing here raises. A directive that cannot be read counts in its more careful meaning.

Rules:

- The directives are those of RFC 9111 §5.2.2, and `immutable` (RFC 8246 §2),
  `stale-while-revalidate` (RFC 5861 §3) and `stale-if-error` (RFC 5861 §4).
- A number that cannot be read is zero: invalid freshness information means stale (RFC 9111 §4.2.1).
- If one directive has several values, the smallest counts: the most restrictive (RFC 9111 §4.2.1).
- A number larger than 2^31 counts as 2^31 (RFC 9111 §1.2.2).
- `private` and `no-cache` may name headers, and then concern only those
  (RFC 9111 §5.2.2.4, §5.2.2.7). If the names cannot be read, the whole response is meant.
- These forbid a stale answer: `must-revalidate`, `proxy-revalidate`, `s-maxage`, `no-cache`
  (RFC 9111 §4.2.4, §5.2.2.10).
- These let a response to a request with Authorization be shared: `public`, `must-revalidate`,
  `s-maxage` (RFC 9111 §3.5).
- Pragma is a request header and is not read here (RFC 9111 §5.4).
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
"""A larger number of seconds counts as this one (RFC 9111 §1.2.2)."""


class CacheControl(Struct, frozen=True, kw_only=True):
    """The directives that a shared cache acts on. Times are whole seconds; None: absent."""

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
    """Lower-case names in `private="..."`: headers for one client only (RFC 9111 §5.2.2.7)."""
    no_cache_fields: frozenset[bytes] = frozenset()
    """Lower-case names in `no-cache="..."`: headers not to be reused unvalidated (RFC 9111 §5.2.2.4)."""
    targeted: bool = False
    """Whether this was read from a targeted header. Then Expires does not count (RFC 9213 §2.2)."""

    @property
    def forbids_stale(self) -> bool:
        """Whether this response must not be served stale (RFC 9111 §4.2.4, §5.2.2.10)."""
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
        """The names of headers that are not stored (RFC 9111 §5.2.2.4, §5.2.2.7)."""
        return self.private_fields | self.no_cache_fields


FLAGS = {
    b"no-store": "no_store",
    b"no-cache": "no_cache",
    b"private": "private",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
    b"immutable": "immutable",  # RFC 8246 §2
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
    """Parse every Cache-Control line of a response (RFC 9111 §5.2.2)."""
    if b"cache-control" not in fields:
        return _NOTHING
    return _parse(tuple(fields.values(b"cache-control")))


@lru_cache(maxsize=512)  # an application sends the same few values again and again
def _parse(lines: tuple[bytes, ...]) -> CacheControl:
    found: dict[str, Any] = {}
    # Line by line: a quote that never closes must not hide a `no-store` on the next line.
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
    """Parse a quoted list of header names, in lower case; empty if it is not exactly that.

    RFC 9111 §5.2.2.4 wants the quotes: whoever writes `private=true` means the whole response.
    """
    if len(value) < 2 or not value.startswith(b'"') or not value.endswith(b'"'):
        return _NO_NAMES
    names = frozenset(name.strip().lower() for name in value[1:-1].split(b",")) - {b""}
    return names if all(map(_NAME.fullmatch, names)) else _NO_NAMES


def delta_seconds(value: bytes) -> int:
    """Parse a number of seconds (RFC 9111 §1.2.2), quoted or not; zero if it is not a number."""
    digits = value.strip().strip(b'"')
    if not digits.isdigit():
        return 0
    digits = digits.lstrip(b"0") or b"0"
    # At most 10 digits are read (2^31 has 10): int() of a million digits would cost seconds of CPU.
    return MAX_SECONDS if len(digits) > 10 else min(int(digits), MAX_SECONDS)
