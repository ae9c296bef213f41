"""The headers of one message: ordered byte pairs with an index by name.

Rules:

- Names are case-insensitive; they are lower-cased before they come here (RFC 9110 §5.1).
- The order of lines with one name counts, so duplicates and their order are kept (RFC 9110 §5.3).
- A list header is split at commas outside quoted strings; empty members do not count
  (RFC 9110 §5.6.1, §5.6.4).
- A Cookie header is split at semicolons (RFC 6265 §4.2.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Sequence
from urllib.parse import unquote

__all__ = ["Fields", "Pair", "cookie_pairs", "split_list"]

Pair = tuple[bytes, bytes]
"""One header line: its name in lower case, and its value."""

_QUOTE, _COMMA, _BACKSLASH = 0x22, 0x2C, 0x5C


class Fields:
    """The headers of one message in their order, duplicates kept. Immutable.

    The rules look for a dozen names that most messages do not have, so the names are indexed once.
    """

    __slots__ = ("_index", "_repeats", "pairs")

    def __init__(self, pairs: Sequence[Pair], index: dict[bytes, bytes] | None = None) -> None:
        """`index` is `dict(pairs)`, for a caller that has it already."""
        self.pairs = pairs
        self._index = dict(pairs) if index is None else index
        self._repeats = len(self._index) != len(pairs)

    def __contains__(self, name: bytes) -> bool:
        """Tell whether a header is present; one with an empty value is."""
        return name in self._index

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and list(self.pairs) == list(other.pairs)

    def __repr__(self) -> str:
        return f"Fields({list(self.pairs)!r})"

    __hash__ = None  # type: ignore[assignment]  # compared by its pairs, which may be in a list

    @property
    def names(self) -> KeysView[bytes]:
        """The names of the headers, as a set."""
        return self._index.keys()

    def first(self, name: bytes) -> bytes | None:
        """Return the first value of a header, or None."""
        value = self._index.get(name)
        if value is None or not self._repeats:
            return value
        return next(each for key, each in self.pairs if key == name)

    def values(self, name: bytes) -> list[bytes]:
        """Return every value of a header, in order."""
        value = self._index.get(name)
        if value is None:
            return []
        return [each for key, each in self.pairs if key == name] if self._repeats else [value]

    def members(self, name: bytes) -> Iterator[bytes]:
        """Yield the members of a list header over all its lines (RFC 9110 §5.6.1): stripped, not empty."""
        for value in self.values(name):
            yield from split_list(value)

    def without(self, names: Iterable[bytes]) -> Fields:
        """Return the headers without those of these names."""
        dropped = frozenset(names)
        if dropped.isdisjoint(self._index):
            return self
        return Fields([pair for pair in self.pairs if pair[0] not in dropped])

    def plus(self, *pairs: Pair) -> Fields:
        """Return the headers with more pairs added at the end."""
        return Fields([*self.pairs, *pairs])


def split_list(value: bytes) -> Iterator[bytes]:
    """Split a value at the commas outside quoted strings (RFC 9110 §5.6.1, §5.6.4).

    If a quote never closes, the rest of the value belongs to the last member: nobody can tell which
    of the commas in it were meant to divide.
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
    """Return the named cookies of Cookie lines as raw `(name, value)` pairs, in order (RFC 6265 §4.2.1).

    A name is compared both as sent and percent-decoded, because some frameworks decode it. A cookie
    that the application could take for a declared one is therefore kept, and is part of the key (I1).
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
