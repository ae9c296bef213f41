"""The rules for the cookies of a request. The first one that applies decides about a cookie:

1. It is one of the route's `personal_cookies`: the request bypasses the cache, unaltered.
2. It is one of `cookies` or `keyed_cookies`: it is in the key, and the application sees it.
3. The route has a list of `cookies` or of `personal_cookies`, or the cookie is one of
   `ignore_cookies`: it is removed, so the application does not see it.
4. Otherwise the application sees it, and it is in no key: the request is personal (I1).

A Cookie header without any cookie counts as none. A name is compared as sent and percent-decoded,
because some frameworks decode it. The fast path (`key`) and `read` go by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from cachemw.config.syntax.cookie_names import compile_patterns, spellings
from cachemw.http.fields import Pair, cookie_pairs

__all__ = ["CookieRules", "Cookies"]

_BLANK, _REMOVED, _KEYED, _OTHER, _PERSONAL = range(5)
"""Kinds of cookies, in rising order: the highest one decides about the whole request."""

_KNOWN: Final = 1024
_LONGEST_KNOWN: Final = 64
"""Names, and bytes in each, whose kind a route remembers. Clients choose them, so both are bounded (I4)."""


class Cookies(Struct, frozen=True):
    """The cookies of one request, as a route has them."""

    keyed: Sequence[Pair] = ()
    """Those in the key."""
    visible: bytes | None = None
    """The Cookie header that the application sees; None: none."""
    altered: bool = True
    """Whether the application sees another Cookie header than the client sent."""
    unkeyed: bool = False
    """Whether the application sees cookies that are not in the key."""


_NO_COOKIES = Cookies()


class CookieRules:
    """The rules of one route."""

    __slots__ = ("_ignored", "_keyed", "_kinds", "_personal", "_sorts", "declared", "looks")

    def __init__(
        self,
        declared: frozenset[str] | None = None,
        ignored: Iterable[str] = (),
        personal: Iterable[str] = (),
        keyed: frozenset[str] = frozenset(),
    ) -> None:
        """Take a route's `cookies`, `ignore_cookies`, `personal_cookies` and `keyed_cookies`."""
        personal = tuple(personal)
        self._keyed = keyed | (declared or frozenset())
        self.declared = self._keyed if declared is not None or personal else None
        """The cookies in the key, all others being removed. None: others are seen, if not ignored."""
        self._sorts = self.declared is None or bool(personal)
        self.looks = self._sorts or bool(self._keyed)
        """Whether anything depends on a Cookie header: most often the whole of a browser's is removed."""
        self._ignored = compile_patterns(ignored)
        self._personal = compile_patterns(personal)
        self._kinds: dict[bytes, int] = {}

    def key(self, lines: Iterable[bytes]) -> Sequence[Pair] | None:
        """Return the cookies in the key; None if the request is personal, or bypasses the cache.

        For the fast path, which serves no such request from the plans that it remembers.
        """
        if self._sorts and self._highest(lines) > _KEYED:
            return None
        return cookie_pairs(lines, self._keyed) if self._keyed else ()

    def read(self, lines: Sequence[bytes]) -> Cookies | None:
        """Return what becomes of these Cookie lines; None if the request bypasses the cache."""
        highest = self._highest(lines) if self._sorts else _KEYED
        if highest == _PERSONAL:
            return None
        keyed = cookie_pairs(lines, self._keyed)
        if highest == _OTHER:
            visible, altered = self._without_ignored(lines)
            return Cookies(keyed, visible, altered, unkeyed=True)
        return (
            Cookies(keyed, b"; ".join(b"=".join(pair) for pair in keyed)) if keyed else _NO_COOKIES
        )

    def is_overwritten(self, lines: Iterable[bytes], set_cookies: Iterable[bytes]) -> bool:
        """Tell whether a Set-Cookie names a cookie that is removed from these Cookie lines."""
        return bool(self.overwritten(lines, set_cookies))

    def overwritten(self, lines: Iterable[bytes], set_cookies: Iterable[bytes]) -> list[str]:
        """Return the names of the cookies in Set-Cookie lines that are removed from these Cookie lines.

        The application that sets it did not see the client's own. So the client's session, or the
        token of its form, would be replaced as if there were none.
        """
        removed: set[str] = set()
        for line in lines:
            for part in line.split(b";"):
                if self._highest((part,)) == _REMOVED:
                    removed |= _names(part)
        pairs = (line.partition(b";")[0] for line in set_cookies)
        return [
            pair.partition(b"=")[0].strip().decode("latin-1")
            for pair in pairs
            if not removed.isdisjoint(_names(pair))
        ]

    def _highest(self, lines: Iterable[bytes]) -> int:
        """Return the highest kind among the cookies of these lines."""
        highest, kinds = _BLANK, self._kinds
        for line in lines:
            for part in line.split(b";"):
                raw = part.partition(b"=")[0]
                kind = kinds.get(raw)
                if kind is None:
                    kind = self._kind(raw)
                if kind > highest and (kind != _OTHER or part.strip()):
                    highest = kind
        return highest

    def _kind(self, raw: bytes) -> int:
        """Return the kind of a cookie with this name, and remember it."""
        names = _names(raw)
        if any(map(self._personal.fullmatch, names)):
            kind = _PERSONAL
        elif not names.isdisjoint(self._keyed):
            kind = _KEYED
        elif self.declared is not None or any(map(self._ignored.fullmatch, names)):
            kind = _REMOVED
        else:
            kind = _OTHER
        if len(raw) <= _LONGEST_KNOWN:
            if len(self._kinds) >= _KNOWN:
                self._kinds = {}
            self._kinds[raw] = kind
        return kind

    def _without_ignored(self, lines: Iterable[bytes]) -> tuple[bytes, bool]:
        """Return the cookies that are not ignored, and whether any was taken out."""
        parts = [part for line in lines for part in line.split(b";")]
        kinds = [self._highest((part,)) for part in parts]
        seen = [part.strip() for part, kind in zip(parts, kinds, strict=True) if kind >= _KEYED]
        return b"; ".join(seen), _REMOVED in kinds


def _names(pair: bytes) -> set[str]:
    """Return the name of a cookie, in the spellings that count as one; none if it has no name."""
    name = pair.partition(b"=")[0].strip().decode("latin-1")
    return spellings(name) if name else set()
