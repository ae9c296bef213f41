"""How a fresh answer differs from one that is stored: what is different, and never what it says.

Places are told, values are not: a status, the name of a field, the path of a value in JSON. A name in a
path may be somebody's as well, where a mapping goes by customers or tokens: what does not look like a
word, or is in one of the two answers alone, is a star.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from cachemw.engine.model.entry import HeaderPairs

__all__ = ["VOLATILE", "Difference", "Seen", "Volatile", "compare", "volatile_parts"]

VOLATILE = frozenset(
    {
        *(b"age", b"content-length", b"date", b"expires", b"nel", b"report-to", b"server-timing"),
        *(b"request-id", b"x-request-id", b"x-correlation-id", b"x-process-time", b"x-runtime"),
        *(b"traceparent", b"tracestate", b"cache-status", b"via"),
        # Made from the bytes of the body, which is compared itself.
        *(b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest"),
    }
)
"""Fields that are new in each answer, or made by whoever passes it on."""

_MOST = 20
"""Places told of one difference."""
_LONGEST = 200
"""Characters told of one place: a document may be deep."""
_PLAIN = re.compile(r"\.[A-Za-z_][A-Za-z_-]{0,30}[0-9]{0,2}")
"""A step to a name that looks like a word; identifiers and tokens have more digits."""
_FIELD = re.compile(rb"[a-z][a-z0-9-]{0,39}")
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\*|\d+)\]")

_GZIP = 16 + zlib.MAX_WBITS
_MOST_UNPACKED = 1 << 20
"""Bytes that a compressed body may become; beyond it, it is compared as it is."""

Path = tuple[str, ...]


class Difference(Struct, frozen=True):
    """What differs: `status`, `header` or `body`, and where."""

    kinds: tuple[str, ...]
    places: tuple[str, ...]


class Seen(Struct, frozen=True):
    """One answer as it is compared."""

    status: int
    headers: HeaderPairs
    digest: bytes
    """Of the body."""
    size: int
    body: bytes
    """Empty where it is too large to be kept beside its digest."""


class Volatile(Struct, frozen=True):
    """What a route declares to differ: fields, and paths in JSON."""

    fields: frozenset[bytes]
    paths: tuple[Path, ...]


def volatile_parts(declared: tuple[str, ...]) -> Volatile:
    """Read what a route declares: names of fields, and paths such as `$.items[*].age`."""
    paths = tuple(
        tuple(f".{name}" if name else f"[{index}]" for name, index in _STEP.findall(each))
        for each in declared
        if each.startswith("$")
    )
    fields = (each.lower().encode("ascii") for each in declared if not each.startswith("$"))
    return Volatile(fields=VOLATILE.union(fields), paths=paths)


def compare(stored: Seen, fresh: Seen, volatile: Volatile) -> Difference | None:
    """Say how a fresh answer differs from a stored one, or give None."""
    kinds: list[str] = []
    places: list[str] = []
    if stored.status != fresh.status:
        kinds.append("status")
        places.append(f"status {stored.status} -> {fresh.status}")
    if names := _fields(stored.headers, fresh.headers, volatile.fields):
        kinds.append("header")
        places += names
    if stored.digest != fresh.digest and (found := _body(stored, fresh, volatile.paths)):
        kinds.append("body")
        places += found
    return Difference(tuple(kinds), tuple(places[:_MOST])) if kinds else None


def _fields(stored: HeaderPairs, fresh: HeaderPairs, volatile: frozenset[bytes]) -> list[str]:
    names = dict.fromkeys(name for name, _ in (*stored, *fresh) if name not in volatile)
    return [
        f"header {name.decode('ascii') if _FIELD.fullmatch(name) else '*'}"
        for name in names
        if [v for n, v in stored if n == name] != [v for n, v in fresh if n == name]
    ]


def _body(stored: Seen, fresh: Seen, volatile: tuple[Path, ...]) -> list[str]:
    if stored.body and fresh.body:
        old, new = _unpacked(stored), _unpacked(fresh)
        if old == new:
            return []
        try:
            return _paths(old, new, volatile)
        except (msgspec.DecodeError, RecursionError):  # no JSON, or no honest one
            pass
    return [f"body, {stored.size} -> {fresh.size} bytes"]


def _unpacked(answer: Seen) -> bytes:
    """Give a body without gzip: frameworks pad that at random, against BREACH."""
    codings = [
        value.strip().lower() for name, value in answer.headers if name == b"content-encoding"
    ]
    if codings not in ([b"gzip"], [b"x-gzip"]):
        return answer.body
    unpacking = zlib.decompressobj(_GZIP)
    try:
        plain = unpacking.decompress(answer.body, _MOST_UNPACKED)
    except zlib.error:
        return answer.body
    return plain if unpacking.eof and not unpacking.unused_data else answer.body


def _paths(stored: bytes, fresh: bytes, volatile: tuple[Path, ...]) -> list[str]:
    differing = _differing(msgspec.json.decode(stored), msgspec.json.decode(fresh), ())
    counting = (
        _told(path, one_sided)
        for path, one_sided in differing
        if not any(_covers(each, path) for each in volatile)
    )
    return list(dict.fromkeys(islice(counting, _MOST)))


def _differing(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, bool]]:
    """Give the paths of what differs, the deepest that hold all of it.

    With each goes whether only one of the two has what its last step names.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            step = (*path, f".{name}")
            if name not in old or name not in new:
                yield step, True
            elif not _same(old[name], new[name]):
                yield from _differing(old[name], new[name], step)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            if not _same(one, other):
                yield from _differing(one, other, (*path, f"[{index}]"))
    elif not _same(old, new):
        yield path, False


def _same(old: Any, new: Any) -> bool:
    """Say whether two values are written alike: to Python true is 1, and 1 is 1.0."""
    return old == new and _written(old) == _written(new)


def _written(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _told(path: Path, one_sided: bool) -> str:
    """Write a path without a name that could be somebody's.

    What only one of two answers has may be what that one is about: a customer, a token.
    """
    steps = [step if step.startswith("[") or _PLAIN.fullmatch(step) else ".*" for step in path]
    if one_sided:
        steps[-1] = ".*"
    told = "$" + "".join(steps)
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"


def _covers(declared: Path, path: Path) -> bool:
    """Say whether a declared path is this one, or holds it."""
    if len(declared) > len(path):
        return False
    return all(
        want == step or (want == "[*]" and step.startswith("["))
        for want, step in zip(declared, path, strict=False)
    )
