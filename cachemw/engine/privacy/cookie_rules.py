"""The rules for the cookies of a request. The first one that applies decides about a cookie:

1. It is one of the route's `personal_cookies`: the request bypasses the cache, unaltered.
2. It is one of `cookies` or `keyed_cookies`: it is in the key, and the application sees it.
3. It is one of `ignore_cookies`, or of analytics: it is removed, so the application does not see it.
4. The route watches what its application reads, and the application has read it: as under 1.
5. The route has a list of `cookies` or of `personal_cookies`: it is removed.
6. Otherwise the application sees it, and it is in no key: the request is personal (I1).

Rule 4 needs no answer to be made again. Nothing is kept before the names are known that were read while
it was made. So whoever has none of these cookies gets what the application would have made for them, and
whoever has one bypasses.

A Cookie header without any cookie counts as none. A name is compared as sent and percent-decoded,
because some frameworks decode it. The fast path (`key`) and `read` go by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from cachemw.config.syntax.cookie_names import compile_patterns, spellings
from cachemw.engine.privacy.cookie_reads import CookieReads, LearnedReads
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

    __slots__ = (
        "_dropped",
        "_ignored",
        "_keyed",
        "_kinds",
        "_learned",
        "_personal",
        "_sorts",
        "declared",
        "learns",
        "looks",
        "watches",
    )

    def __init__(
        self,
        declared: frozenset[str] | None = None,
        ignored: Iterable[str] = (),
        personal: Iterable[str] = (),
        keyed: frozenset[str] = frozenset(),
        dropped: frozenset[str] = frozenset(),
    ) -> None:
        """Take a route's lists of cookies, in the order `cookies`, `ignore_cookies`, `personal_cookies`,
        `keyed_cookies`, `drop_set_cookie`.
        """
        personal = tuple(personal)
        self._keyed = keyed | (declared or frozenset())
        self.declared = self._keyed if declared is not None or personal else None
        """The cookies in the key, all others being removed. None: others are seen, if not ignored."""
        self._sorts = self.declared is None or bool(personal)
        self.looks = self._sorts or bool(self._keyed)
        """Whether anything depends on a Cookie header: most often the whole of a browser's is removed."""
        self._ignored = compile_patterns(ignored)
        self._personal = compile_patterns(personal)
        self._dropped = dropped
        self._kinds: dict[bytes, int] = {}
        self.learns = declared is None and bool(personal)
        """Whether a cookie that the application reads, and no list names, makes a request bypass."""
        self.watches = False
        """Whether what is read is noted for every response, so that one without notes is useless."""
        self._learned = LearnedReads()

    def watch(self) -> None:
        """Watch which cookies the application reads. All its answers must be watched from now on."""
        self.watches = self.learns

    @property
    def reads(self) -> CookieReads:
        """Which cookies that no list names the application was seen to read."""
        return self._learned.reads

    def unlisted(self, reads: CookieReads) -> CookieReads:
        """Return what was read, without the cookies that a list names: for those the list counts."""
        names = frozenset(name for name in reads.names if self._kind_listed({name}) is None)
        return CookieReads(names, reads.all)

    def learn(self, reads: CookieReads) -> tuple[str, ...]:
        """Make requests with these cookies bypass from now on; return the names that are new."""
        if not self.learns:
            return ()
        new = self._learned.add(self.unlisted(reads))
        if new:
            # In this order: who has the old dict of kinds writes into one that nobody uses any more.
            self._kinds = {}
        return new

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

    def bypasses(self, lines: Iterable[bytes]) -> bool:
        """Tell whether a request with these Cookie lines bypasses the cache."""
        return self._sorts and self._highest(lines) == _PERSONAL

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

    def drops(self, set_cookie: bytes) -> bool:
        """Tell whether a stored answer leaves the cookie of this Set-Cookie line out."""
        if not self._dropped:
            return False
        return not self._dropped.isdisjoint(_names(set_cookie.partition(b";")[0]))

    def _highest(self, lines: Iterable[bytes]) -> int:
        """Return the highest kind among the cookies of these lines."""
        highest, kinds = _BLANK, self._kinds
        for line in lines:
            for part in line.split(b";"):
                raw = part.partition(b"=")[0]
                kind = kinds.get(raw)
                if kind is None:
                    kind = self._kind(raw, kinds)
                if kind > highest and (kind < _OTHER or part.strip()):
                    highest = kind
        return highest

    def _kind(self, raw: bytes, kinds: dict[bytes, int]) -> int:
        """Return the kind of a cookie with this name, and remember it in `kinds`."""
        names = _names(raw)
        kind = self._kind_listed(names)
        if kind is None:
            kind = self._kind_unlisted(names)
        if len(raw) <= _LONGEST_KNOWN:
            if len(kinds) >= _KNOWN:
                self._kinds = {}  # without this one: it may be older than what was learned meanwhile
            else:
                kinds[raw] = kind
        return kind

    def _kind_listed(self, names: set[str]) -> int | None:
        """Return the kind of a cookie that some list names, in one of its spellings; else None."""
        if any(map(self._personal.fullmatch, names)):
            return _PERSONAL
        if not names.isdisjoint(self._keyed):
            return _KEYED
        return _REMOVED if any(map(self._ignored.fullmatch, names)) else None

    def _kind_unlisted(self, names: set[str]) -> int:
        if self.declared is None:
            return _OTHER
        # A cookie without a name is in no list; of one without a name and a value nothing is left.
        return _PERSONAL if self._learned.touches(names) else _REMOVED

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
