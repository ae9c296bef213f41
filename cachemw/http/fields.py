"""Header fields: ordered byte pairs with an index by name (RFC 9110 §5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Sequence
from urllib.parse import unquote

__all__ = ["Fields", "Pair", "cookie_pairs", "split_list"]

Pair = tuple[bytes, bytes]
"""One field line: its name in lower case, and its value."""

_QUOTE, _COMMA, _BACKSLASH = 0x22, 0x2C, 0x5C


class Fields:
    """The fields of one message in the order in which they came, duplicates kept. Not to be changed.

    A message is asked for a dozen names that it mostly does not have, so the names are indexed once.
    """

    __slots__ = ("_index", "_repeats", "pairs")

    def __init__(self, pairs: Sequence[Pair], index: dict[bytes, bytes] | None = None) -> None:
        """`index` is `dict(pairs)`, for a caller that has it already."""
        self.pairs = pairs
        self._index = dict(pairs) if index is None else index
        self._repeats = len(self._index) != len(pairs)

    def __contains__(self, name: bytes) -> bool:
        """Say whether a field is there at all; an empty value is there too."""
        return name in self._index

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and list(self.pairs) == list(other.pairs)

    def __repr__(self) -> str:
        return f"Fields({list(self.pairs)!r})"

    __hash__ = None  # type: ignore[assignment]  # equal by its pairs, which may be a list

    @property
    def names(self) -> KeysView[bytes]:
        """The names that are there, as a set."""
        return self._index.keys()

    def first(self, name: bytes) -> bytes | None:
        """Give the first value of a field, or None."""
        value = self._index.get(name)
        if value is None or not self._repeats:
            return value
        return next(each for key, each in self.pairs if key == name)

    def values(self, name: bytes) -> list[bytes]:
        """Give every value of a field, in order."""
        value = self._index.get(name)
        if value is None:
            return []
        return [each for key, each in self.pairs if key == name] if self._repeats else [value]

    def members(self, name: bytes) -> Iterator[bytes]:
        """Yield the members of a list field over all its lines (RFC 9110 §5.6.1), stripped, none empty."""
        for value in self.values(name):
            yield from split_list(value)

    def without(self, names: Iterable[bytes]) -> Fields:
        """Give the fields without those named."""
        dropped = frozenset(names)
        if dropped.isdisjoint(self._index):
            return self
        return Fields([pair for pair in self.pairs if pair[0] not in dropped])

    def plus(self, *pairs: Pair) -> Fields:
        """Give the fields with more of them behind."""
        return Fields([*self.pairs, *pairs])


def split_list(value: bytes) -> Iterator[bytes]:
    """Split at the commas that stand outside quoted strings (RFC 9110 §5.6.4).

    A quote that never closes ends the list there: what follows it cannot be read for sure, so it
    stays part of that last member.
    """
    if b'"' not in value:
        for part in value.split(b","):
            if stripped := part.strip():
                yield stripped
        return
    start, quoted, position = 0, False, 0
    while position < len(value):
        byte = value[position]
        if quoted and byte == _BACKSLASH:
            position += 1
        elif byte == _QUOTE:
            quoted = not quoted
        elif byte == _COMMA and not quoted:
            if stripped := value[start:position].strip():
                yield stripped
            start = position + 1
        position += 1
    if stripped := value[start:].strip():
        yield stripped


def cookie_pairs(lines: Iterable[bytes], names: frozenset[str]) -> list[Pair]:
    """Give the named cookies of Cookie lines as raw `(name, value)` pairs, in order (RFC 6265 §4.2).

    A name is compared as sent and as percent-decoded, since some frameworks decode it: a cookie
    that an application could take for a declared one is kept and keyed with it.
    """
    found = []
    for line in lines:
        for part in line.split(b";"):
            name, _, value = part.partition(b"=")
            name = name.strip()
            text = name.decode("latin-1")
            if text in names or unquote(text) in names:
                found.append((name, value.strip()))
    return found
