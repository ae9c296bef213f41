"""Values of Accept and its kin that mean the same, written the same (RFC 9111 §4.1).

Only what a field's own specification calls equal is made equal: space around members and
parameters, empty members, case, and the ways to write a weight (RFC 9110 §12.4.2). The order of
members is kept: it says nothing in the specification, but frameworks such as Django choose the first
of equal weight. What is not of the field's grammar is left as it is.
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
_MAX_REMEMBERED = 512
"""Bytes. Clients write these values: what is longer than any browser's is read, not remembered."""


def normalised(name: bytes, value: bytes) -> bytes:
    """Give the value of a request field in the form in which equal ones are equal.

    `value` is that of all its lines, combined. A field that is not known here stays as it is.
    """
    rule = _RULES.get(name)
    if rule is None:
        return value
    return _remembered(rule, value) if len(value) <= _MAX_REMEMBERED else _normalise(rule, value)


def _normalise(rule: Callable[[bytes], bytes], value: bytes) -> bytes:
    return b", ".join(map(rule, split_list(value)))


_remembered = lru_cache(maxsize=1024)(_normalise)


def _weighted(member: bytes) -> bytes:
    """Write a coding, language or charset, all of them without case, and its weight."""
    read = _WEIGHTED.fullmatch(member)
    if read is None:
        return member
    weight = read[2]
    if weight is None:
        return read[1].lower()
    shortest = _weight(weight)
    return member if shortest is None else read[1].lower() + (shortest and b";q=" + shortest)


def _media_range(member: bytes) -> bytes:
    """Write a media range and its parameters, whose values may have case (RFC 9110 §8.3.1)."""
    read = _MEDIA_RANGE.fullmatch(member)
    if read is None:
        return member
    parameters = [(key.lower(), value) for key, value in _PARAMETERS.findall(read[2])]
    written = [read[1].lower()]
    for index, (key, value) in enumerate(parameters, start=1):
        if key == b"q":
            shortest = _weight(value)
            # Behind a weight some read parameters of another kind: then it marks where they begin.
            if shortest is None or index < len(parameters):
                return member
            if not shortest:
                break
            value = shortest
        written.append(key + b"=" + value)
    return b";".join(written)


def _weight(value: bytes) -> bytes | None:
    """Write a weight in its shortest form: empty for one, which is what none means. None: it is none."""
    if _WEIGHT.fullmatch(value) is None:
        return None
    return b"" if value.startswith(b"1") else value.rstrip(b"0").rstrip(b".") or b"0"


_RULES: dict[bytes, Callable[[bytes], bytes]] = {
    b"accept": _media_range,
    b"accept-charset": _weighted,
    b"accept-encoding": _weighted,
    b"accept-language": _weighted,
}
