"""Reading header fields out of ordered byte pairs (RFC 9110 §5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from cachemw.http.messages import Headers

__all__ = ["cookie_pairs", "first", "has", "members", "split_list", "values", "without"]

_QUOTE, _COMMA, _BACKSLASH = 0x22, 0x2C, 0x5C


def first(headers: Headers, name: bytes) -> bytes | None:
    """Give the first value of a field, or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


def has(headers: Headers, name: bytes) -> bool:
    """Say whether a field is there at all; an empty value is there too."""
    for key, _ in headers:  # noqa: SIM110 - half the cost of any(): a miss asks this ten times
        if key == name:
            return True
    return False


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Give every value of a field, in order."""
    return [value for key, value in headers if key == name]


def without(headers: Headers, names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Give the fields without those named."""
    dropped = frozenset(names)
    return [pair for pair in headers if pair[0] not in dropped]


def members(headers: Headers, name: bytes) -> Iterator[bytes]:
    """Yield the members of a list field over all its lines (RFC 9110 §5.6.1), stripped, none empty."""
    for key, value in headers:
        if key == name:
            yield from split_list(value)


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


def cookie_pairs(headers: Headers, names: frozenset[str]) -> list[tuple[bytes, bytes]]:
    """Give the named cookies as raw `(name, value)` pairs in the order sent (RFC 6265 §4.2).

    A name is compared as sent and as percent-decoded, since some frameworks decode it: a cookie
    that an application could take for a declared one is kept and keyed with it.
    """
    found = []
    for line in values(headers, b"cookie"):
        for part in line.split(b";"):
            name, _, value = part.partition(b"=")
            name = name.strip()
            text = name.decode("latin-1")
            if text in names or unquote(text) in names:
                found.append((name, value.strip()))
    return found
