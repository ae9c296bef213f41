"""Which cookies an application was seen to read while it made a response.

The names travel with a stored entry, as tags that cachemw makes itself, so that every process that takes
the entry from the shared store knows them: `@cookie:theme`. An entry whose making was watched has at least
one such tag; `@cookie:(none)` says that no cookie was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

__all__ = ["NONE_READ", "CookieReads", "reads_of", "tags_of_reads"]

MOST_NAMES: Final = 32
"""Names, of one response and of one route (I4). Whoever reads more of them counts as reading all."""
_TAG: Final = "@cookie:"
_NONE, _ALL = f"{_TAG}(none)", f"{_TAG}(all)"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Names that a tag can hold as they are. Nearly all are like this; another one counts as all names."""


class CookieReads(Struct, frozen=True):
    """Names of cookies that were asked for, whether or not the request had them."""

    names: frozenset[str] = frozenset()
    all: bool = False
    """Whether any cookie may have been read: all were listed, or too many were asked for."""

    def spelt(self) -> tuple[str, ...]:
        """Return the names, for people; `*` stands for all cookies."""
        names = tuple(sorted(self.names))
        return (*names, "*") if self.all else names


NONE_READ: Final = CookieReads()


class LearnedReads:
    """Names that a route has learned. They only grow, by single steps that no other thread can undo."""

    __slots__ = ("_all", "_names")

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._all = False

    @property
    def reads(self) -> CookieReads:
        """All that is learned by now."""
        return CookieReads(frozenset(list(self._names)), self._all)

    def touches(self, names: set[str]) -> bool:
        """Tell whether a cookie of this name, in any of its spellings, may have been read."""
        return self._all or any(name in self._names for name in names)

    def add(self, reads: CookieReads) -> tuple[str, ...]:
        """Learn what was read; return what is new, for people, with `*` for all cookies."""
        new = []
        for name in sorted(reads.names):
            if name not in self._names and _is_plain(name) and len(self._names) < MOST_NAMES:
                self._names[name] = None
                new.append(name)
        if not self._all and (reads.all or not all(name in self._names for name in reads.names)):
            self._all = True
            new.append("*")
        return tuple(new)


def tags_of_reads(reads: CookieReads) -> tuple[str, ...]:
    """Return the tags of an entry whose making was watched."""
    tags = tuple(_TAG + name for name in sorted(reads.names))
    return (*tags, _ALL) if reads.all else tags or (_NONE,)


def reads_of(tags: Iterable[str]) -> CookieReads | None:
    """Return what was read for an entry with these tags; None if nobody has watched its making."""
    found = [tag for tag in tags if tag.startswith(_TAG)]
    if not found:
        return None
    names = frozenset(tag.removeprefix(_TAG) for tag in found if tag not in (_NONE, _ALL))
    return CookieReads(names, all=_ALL in found)


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None
