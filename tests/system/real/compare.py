"""Lay the answers of two crawls side by side, all but what is declared to differ by nature."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from .crawl import Answer, Pass

__all__ = [
    "COMMON_FIELDS",
    "VolatileField",
    "VolatileText",
    "answer_differences",
    "differences",
    "steady_body",
    "without_cookies",
]


@dataclass(frozen=True, slots=True)
class VolatileField:
    """A response field that may differ, and why; only its value, unless it is a field of ours."""

    name: bytes
    reason: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class VolatileText:
    """A part of bodies and field values that differs from answer to answer, and why."""

    pattern: re.Pattern[bytes]
    reason: str


COMMON_FIELDS = (
    VolatileField(b"date", "the time of the answer"),
    VolatileField(b"age", "added to an answer from the cache (RFC 9111 5.1)", ours=True),
    VolatileField(b"cache-status", "says what the cache did (RFC 9211)", ours=True),
)
FRAMING = tuple(
    VolatileField(name, "an answer of unknown length has a known one once it is kept", ours=True)
    for name in (b"transfer-encoding", b"content-length")
)


def steady_body(body: bytes, texts: Sequence[VolatileText]) -> bytes:
    """Blank out the declared parts; a pattern with a group keeps what the group holds."""
    for text in texts:
        body = text.pattern.sub(lambda found: b"".join(found.groups(b"")) + b"*", body)
    return body


def steady_fields(
    answer: Answer, fields: Sequence[VolatileField], texts: Sequence[VolatileText]
) -> list[tuple[bytes, bytes]]:
    """List the fields in order, without ours, with volatile values blanked out."""
    ours = {field.name for field in fields if field.ours}
    blank = {field.name for field in fields if not field.ours}
    return [
        (name, b"*" if name in blank else steady_body(value, texts))
        for name, value in answer.headers
        if name not in ours
    ]


def pair_fields(
    off: Answer, on: Answer, fields: Sequence[VolatileField], texts: Sequence[VolatileText]
) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
    """Prepare the fields of both answers: an ETag the application did not give is ours."""
    fields = list(fields)
    if not off.values(b"etag"):
        fields.append(VolatileField(b"etag", "made from the stored body", ours=True))
    if off.values(b"transfer-encoding"):
        fields += FRAMING
    elif steady_body(off.body, texts) != off.body:
        # What is blanked out may have another number of digits, and what is put in for each client
        # has its length behind the other fields; `answer_faults` checks lengths.
        fields.append(VolatileField(b"content-length", "the body has declared parts", ours=True))
    return steady_fields(off, fields, texts), steady_fields(on, fields, texts)


def answer_faults(answer: Answer) -> Iterator[str]:
    """Name what is wrong with an answer whatever it is compared with."""
    lengths = answer.values(b"content-length")
    if lengths and lengths != [str(len(answer.body)).encode()] and answer.status != 304:
        yield f"Content-Length {lengths} over {len(answer.body)} bytes"


def answer_differences(
    off: Answer, on: Answer, fields: Sequence[VolatileField], texts: Sequence[VolatileText]
) -> Iterator[str]:
    """Name every difference between two answers that nobody declared."""
    yield from answer_faults(on)
    if off.status != on.status:
        yield f"status {off.status} became {on.status}"
    before, after = pair_fields(off, on, fields, texts)
    if before != after:
        lost = [pair for pair in before if pair not in after]
        new = [pair for pair in after if pair not in before]
        yield f"fields lost {lost}, new {new}" if lost or new else "fields in another order"
    steady_off, steady_on = steady_body(off.body, texts), steady_body(on.body, texts)
    if steady_off != steady_on:
        yield f"body differs: {first_difference(steady_off, steady_on)}"


def first_difference(one: bytes, other: bytes) -> str:
    """Show where two bodies part."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), -1)
    at = min(len(one), len(other)) if at < 0 else at
    begin = max(0, at - 60)
    return f"at byte {at}: {one[begin : at + 90]!r} against {other[begin : at + 90]!r}"


def differences(
    off: Pass, on: Pass, fields: Sequence[VolatileField], texts: Sequence[VolatileText]
) -> list[str]:
    """Name every difference between two passes over the same site, none when they are alike."""
    found = []
    if list(off) != list(on):
        found.append(f"other pages: {sorted(off.keys() ^ on.keys()) or 'in another order'}")
    for target in off:
        if target in on:
            faults = answer_differences(off[target], on[target], fields, texts)
            found += [f"{target}: {fault}" for fault in faults]
    return found


def without_cookies(seen: Pass, names: Collection[str]) -> Pass:
    """Take the lines out that set one of these cookies."""
    return {target: _without(answer, names) for target, answer in seen.items()}


def _without(answer: Answer, names: Collection[str]) -> Answer:
    headers = tuple(
        (name, value)
        for name, value in answer.headers
        if name != b"set-cookie" or value.partition(b"=")[0].decode("latin-1") not in names
    )
    return replace(answer, headers=headers)
