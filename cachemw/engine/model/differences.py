"""Differences between a fresh response and a stored one, for routes in shadow.

Only *places* are reported, never values: a status, the name of a header, the path of a value in JSON
(I1). A name in such a path may be personal too, if an object's keys are customers or tokens. So a name
that does not look like a word, or that only one of the two responses has, is written as a star.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from cachemw.engine.model.entry import HeaderPairs, Item

__all__ = [
    "VOLATILE",
    "ComparedResponse",
    "Difference",
    "Shadow",
    "Volatile",
    "compare",
    "of_cookies",
    "significant_part",
    "volatile_parts",
]

VOLATILE = frozenset(
    {
        *(b"age", b"content-length", b"date", b"expires", b"nel", b"report-to", b"server-timing"),
        *(b"request-id", b"x-request-id", b"x-correlation-id", b"x-process-time", b"x-runtime"),
        *(b"traceparent", b"tracestate", b"cache-status", b"via"),
        # Made from the bytes of the body, and the body itself is compared.
        *(b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest"),
    }
)
"""Headers that are new in each response, or are added on its way."""

_MOST = 20
"""Places that are reported for one difference."""
_LONGEST = 200
"""Characters of one reported place: a document may be deep."""
_PLAIN = re.compile(r"\.[A-Za-z_][A-Za-z_-]{0,30}[0-9]{0,2}")
"""A step to a name that looks like a word; identifiers and tokens have more digits."""
_COOKIE_NAME = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}[0-9]{0,2}", re.ASCII)
"""A name of a cookie that looks like a word."""
_HEADER_NAME = re.compile(rb"[a-z][a-z0-9-]{0,39}")
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\*|\d+)\]")

_COUNTS_DOWN = re.compile(rb"(?<![a-z-])((?:s-)?max-?age)\s*=\s*\"?([0-9]{1,10})\"?", re.IGNORECASE)
_ROUNDING = 2.0
"""Seconds that a count may be ahead, since applications round it in their own ways."""

_GZIP = 16 + zlib.MAX_WBITS
_MOST_DECOMPRESSED = 1 << 20
"""Bytes that a compressed body may expand to. A larger one is compared as it is."""

Path = tuple[str, ...]


class Difference(Struct, frozen=True):
    """The kinds of what differs (`status`, `header`, `body`, `cookie`), and the places."""

    kinds: tuple[str, ...]
    places: tuple[str, ...]


class ComparedResponse(Struct, frozen=True):
    """One response, as far as it is compared."""

    status: int
    headers: HeaderPairs
    digest: bytes
    """Of the body."""
    size: int
    body: bytes
    """Empty if it is too large to be held in addition to its digest."""
    began: float = 0.0
    """When the application was called, in monotonic seconds."""
    ended: float = 0.0
    """When the body was complete."""


class Shadow(Struct, frozen=True):
    """A shadow: the item that would be stored, without its body, and the response to compare with."""

    entry: Item
    response: ComparedResponse


class Volatile(Struct, frozen=True):
    """The parts that a route declares as different in every response: headers, and paths in JSON."""

    fields: frozenset[bytes]
    paths: tuple[Path, ...]


def volatile_parts(declared: tuple[str, ...]) -> Volatile:
    """Return what a route declares as volatile: names of headers, and paths such as `$.items[*].age`."""
    paths = tuple(
        tuple(f".{name}" if name else f"[{index}]" for name, index in _STEP.findall(each))
        for each in declared
        if each.startswith("$")
    )
    fields = (each.lower().encode("ascii") for each in declared if not each.startswith("$"))
    return Volatile(fields=VOLATILE.union(fields), paths=paths)


def compare(
    stored: ComparedResponse, fresh: ComparedResponse, volatile: Volatile
) -> Difference | None:
    """Return how a fresh response differs from a stored one, or None."""
    kinds: list[str] = []
    places: list[str] = []
    if stored.status != fresh.status:
        kinds.append("status")
        places.append(f"status {stored.status} -> {fresh.status}")
    if names := _header_places(stored, fresh, volatile.fields):
        kinds.append("header")
        places += names
    if stored.digest != fresh.digest and (found := _body_places(stored, fresh, volatile.paths)):
        kinds.append("body")
        places += found
    return Difference(tuple(kinds), tuple(places[:_MOST])) if kinds else None


def of_cookies(names: Iterable[str]) -> Difference:
    """Return the difference that cookies of these names make, which a client has and would lose."""
    told = (f"cookie {name if _COOKIE_NAME.fullmatch(name) else '*'}" for name in names)
    return Difference(("cookie",), tuple(dict.fromkeys(told))[:_MOST])


def _header_places(
    stored: ComparedResponse, fresh: ComparedResponse, volatile: frozenset[bytes]
) -> list[str]:
    elapsed = fresh.ended - stored.began
    names = dict.fromkeys(
        name for name, _ in (*stored.headers, *fresh.headers) if name not in volatile
    )
    return [
        f"header {name.decode('ascii') if _HEADER_NAME.fullmatch(name) else '*'}"
        for name in names
        if not _same_values(name, stored.headers, fresh.headers, elapsed)
    ]


def _same_values(name: bytes, stored: HeaderPairs, fresh: HeaderPairs, elapsed: float) -> bool:
    """Tell whether a header is the same in both, but for a lifetime that counts down meanwhile."""
    old, new = ([v for n, v in pairs if n == name] for pairs in (stored, fresh))
    if old == new:
        return True
    if not name.endswith(b"cache-control"):  # the targeted ones too (RFC 9213)
        return False
    before, after = b",".join(old), b",".join(new)
    if _COUNTS_DOWN.sub(rb"\1", before) != _COUNTS_DOWN.sub(rb"\1", after):
        return False
    counts = zip(_COUNTS_DOWN.findall(before), _COUNTS_DOWN.findall(after), strict=True)
    return all(_counts_down(int(one[1]), int(other[1]), elapsed) for one, other in counts)


def _counts_down(stored: int, fresh: int, elapsed: float) -> bool:
    """Tell whether a lifetime is what may be left of another one after this time, in seconds.

    An application that has a cache of its own says how long its page is still kept. When that time is
    over the page is made anew, and the count begins again.
    """
    left = stored - elapsed - _ROUNDING
    return left <= fresh <= stored or (left <= 0 < stored and fresh > 0)


def _body_places(
    stored: ComparedResponse, fresh: ComparedResponse, volatile: tuple[Path, ...]
) -> list[str]:
    if stored.body and fresh.body:
        old = _decompressed(stored.headers, stored.body)
        new = _decompressed(fresh.headers, fresh.body)
        if old == new:
            return []
        try:
            return _json_places(old, new, volatile)
        except (msgspec.DecodeError, RecursionError):  # it is not JSON, or nested too deeply
            pass
    return [f"body, {stored.size} -> {fresh.size} bytes"]


def significant_part(headers: HeaderPairs, body: bytes, volatile: Volatile) -> bytes:
    """Return what counts of a body: without its gzip coding, and without the volatile paths of JSON."""
    plain = _decompressed(headers, body)
    if not volatile.paths:
        return plain
    try:
        document = msgspec.json.decode(plain)
        for path in volatile.paths:
            _remove(document, path)
        return _as_json(document)
    except (msgspec.DecodeError, RecursionError):  # it is not JSON, or nested too deeply
        return plain


def _remove(value: Any, path: Path) -> None:
    """Remove from a document what a declared path names."""
    step, *rest = path
    if step.startswith("."):
        if not isinstance(value, dict) or step[1:] not in value:
            return
        inner, place = [value[step[1:]]], step[1:]
    elif isinstance(value, list):
        inner, place = _items(value, step[1:-1]), step[1:-1]
    else:
        return
    for each in inner if rest else ():
        _remove(each, tuple(rest))
    if not rest:
        _forget(value, place)


def _items(value: list[Any], index: str) -> list[Any]:
    return value if index == "*" else value[int(index) : int(index) + 1]


def _forget(value: Any, place: str) -> None:
    if isinstance(value, dict):
        del value[place]
    else:  # the number of items counts, so they stay
        value[:] = [None if place in ("*", str(at)) else each for at, each in enumerate(value)]


def _decompressed(headers: HeaderPairs, body: bytes) -> bytes:
    """Return a body without its gzip coding: frameworks pad it randomly, against BREACH."""
    codings = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    if codings not in ([b"gzip"], [b"x-gzip"]):
        return body
    unpacking = zlib.decompressobj(_GZIP)
    try:
        plain = unpacking.decompress(body, _MOST_DECOMPRESSED)
    except zlib.error:
        return body
    return plain if unpacking.eof and not unpacking.unused_data else body


def _json_places(stored: bytes, fresh: bytes, volatile: tuple[Path, ...]) -> list[str]:
    differing = _find_differences(msgspec.json.decode(stored), msgspec.json.decode(fresh), ())
    counting = (
        _path_text(path, one_sided)
        for path, one_sided in differing
        if not any(_covers(each, path) for each in volatile)
    )
    return list(dict.fromkeys(islice(counting, _MOST)))


def _find_differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the path of each difference, as deep as possible.

    The second item tells whether only one of the two has what the last step names.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            step = (*path, f".{name}")
            if name not in old or name not in new:
                yield step, True
            elif not _same(old[name], new[name]):
                yield from _find_differences(old[name], new[name], step)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            if not _same(one, other):
                yield from _find_differences(one, other, (*path, f"[{index}]"))
    elif not _same(old, new):
        yield path, False


def _same(old: Any, new: Any) -> bool:
    """Tell whether two values are the same JSON: in Python `True == 1` and `1 == 1.0`."""
    return old == new and _as_json(old) == _as_json(new)


def _as_json(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _path_text(path: Path, one_sided: bool) -> str:
    """Return a path as text, without names that could be personal.

    A name that only one of the two responses has may be a customer or a token.
    """
    steps = [step if step.startswith("[") or _PLAIN.fullmatch(step) else ".*" for step in path]
    if one_sided:
        steps[-1] = ".*"
    text = "$" + "".join(steps)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _covers(declared: Path, path: Path) -> bool:
    """Tell whether a declared path is this one, or contains it."""
    if len(declared) > len(path):
        return False
    return all(
        want == step or (want == "[*]" and step.startswith("["))
        for want, step in zip(declared, path, strict=False)
    )
