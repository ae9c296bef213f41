"""Values of Accept and similar headers that mean the same, written the same.

A browser and a proxy may write one value in different ways. Without this module each way would be
stored as a variant of its own.

Rules:

- Only what a header's own specification calls equal is made equal (RFC 9111 §4.1).
- Space around members and empty members do not count (RFC 9110 §5.6.1, §5.6.3).
- Languages, codings, charsets, media types and parameter names are case-insensitive
  (RFC 9110 §8.3.1, §8.3.2, §8.4.1, §8.5.1).
- A weight has up to three decimals, and none means 1 (RFC 9110 §12.4.2).
- The order of members is kept. RFC 9110 §12.5.1 gives it no meaning, but frameworks such as Django
  choose the first of several with equal weight.
- What does not follow the header's grammar is kept as it is (RFC 9110 §12.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from cachemw.http.fields import split_list

__all__ = ["normalised"]

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rb'(?:%s|"(?:[^"\\]|\\.)*")' % _TOKEN
_WEIGHTED = re.compile(rb"(%s)(?:[ \t]*;[ \t]*[qQ]=(%s))?" % (_TOKEN, _TOKEN))
_MEDIA_RANGE = re.compile(
    rb"(%s/%s)((?:[ \t]*;[ \t]*%s=%s)*)" % (_TOKEN, _TOKEN, _TOKEN, _VALUE), re.DOTALL
)
_PARAMETERS = re.compile(rb";[ \t]*(%s)=(%s)" % (_TOKEN, _VALUE), re.DOTALL)
_WEIGHT = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_MAX_CACHED = 512
"""Bytes. Clients choose these values, so long ones are not kept in memory (I4). No browser sends more."""


def normalised(name: bytes, value: bytes) -> bytes:
    """Return the value of a request header in a form in which equal values are equal bytes.

    `value` is that of all its lines, combined. The value of an unknown header is returned unchanged.
    """
    rule = _RULES.get(name)
    if rule is None:
        return value
    return _normalise_cached(rule, value) if len(value) <= _MAX_CACHED else _normalise(rule, value)


def _normalise(rule: Callable[[bytes], bytes], value: bytes) -> bytes:
    return b", ".join(map(rule, split_list(value)))


_normalise_cached = lru_cache(maxsize=1024)(_normalise)


def _weighted(member: bytes) -> bytes:
    """Write a coding, language or charset in lower case, with its weight (RFC 9110 §12.4.2)."""
    read = _WEIGHTED.fullmatch(member)
    if read is None:
        return member
    weight = read[2]
    if weight is None:
        return read[1].lower()
    shortest = _weight(weight)
    return member if shortest is None else read[1].lower() + (shortest and b";q=" + shortest)


def _media_range(member: bytes) -> bytes:
    """Write a media range and its parameters. The case of their values is kept (RFC 9110 §8.3.1)."""
    read = _MEDIA_RANGE.fullmatch(member)
    if read is None:
        return member
    parameters = [(key.lower(), value) for key, value in _PARAMETERS.findall(read[2])]
    written = [read[1].lower()]
    for index, (key, value) in enumerate(parameters, start=1):
        if key == b"q":
            shortest = _weight(value)
            # RFC 7231 §5.3.2 had other parameters after the weight. Some frameworks still read them, and
            # need the weight to tell where they begin: such a member is kept as it is.
            if shortest is None or index < len(parameters):
                return member
            if not shortest:
                break
            value = shortest
        written.append(key + b"=" + value)
    return b";".join(written)


def _weight(value: bytes) -> bytes | None:
    """Return a weight in its shortest form: empty for 1, the default; None if it is not a weight."""
    if _WEIGHT.fullmatch(value) is None:
        return None
    return b"" if value.startswith(b"1") else value.rstrip(b"0").rstrip(b".") or b"0"


_RULES: dict[bytes, Callable[[bytes], bytes]] = {
    b"accept": _media_range,
    b"accept-charset": _weighted,
    b"accept-encoding": _weighted,
    b"accept-language": _weighted,
}
