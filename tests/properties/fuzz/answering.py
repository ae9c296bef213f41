"""Keeping answers and making others of them: lifetimes, conditions, parts, updates, invalidation."""

from __future__ import annotations

import re
from math import isclose, isfinite
from urllib.parse import quote, urlsplit

from cachemw.http.cache_control import MAX_SECONDS, CacheControl, parse
from cachemw.http.conditional import (
    conditions,
    entity_tag,
    has_own_tag,
    has_validator,
    if_range,
    is_conditional,
    not_modified,
    same_strong,
    same_weak,
)
from cachemw.http.dates import format_date, parse_date
from cachemw.http.fields import Fields
from cachemw.http.freshening import freshened, head_matches, matches
from cachemw.http.freshness import (
    Lifetime,
    explicit_lifetime,
    heuristic_lifetime,
    initial_age,
    not_stating_lifetime,
    stating_lifetime,
)
from cachemw.http.hops import connection_fields
from cachemw.http.invalidation import invalidates, is_unsafe, targets
from cachemw.http.messages import Head
from cachemw.http.ranges import MAX_RANGES, Partial, Span, may_cut, partial, select
from cachemw.http.storing import Policy, Refused, judge, storable
from cachemw.http.targeted import effective_control
from cachemw.http.vary import is_coded

from .directives import TARGETS
from .inputs import fields, sections

__all__ = [
    "fuzz_conditional",
    "fuzz_dates",
    "fuzz_freshening",
    "fuzz_invalidation",
    "fuzz_ranges",
    "fuzz_storing",
]

WALL_NOW = 1_700_000_000.0
_ENTITY_TAG = re.compile(rb'(?:W/)?"[^"]*"')


def fuzz_dates(data: bytes) -> None:
    """What may be a date."""
    seconds = parse_date(data)
    if seconds is None:
        return
    assert parse_date(format_date(seconds)) == seconds
    assert len(data) > 38 or parse_date(b" " + data + b"\t") == seconds


# Conditions ---------------------------------------------------------------------------------------


def fuzz_conditional(data: bytes) -> None:
    """A request's head, a stored response's head, and its body."""
    head, stored, body = sections(data, 3)
    request, response = fields(head), fields(stored)
    if not is_conditional(request):
        assert not not_modified(request, response)
    if_range(request, response)
    assert if_range(request.without((b"if-range",)), response)
    not_modified(request, response)
    _own_conditions_are_met(response)
    plain = response.without((b"etag",))
    own = entity_tag(body, response.first(b"content-encoding"))
    assert has_own_tag(plain.plus((b"etag", own)), body)
    assert has_own_tag(response, body) is (response.first(b"etag") == own)
    for tag in (*response.values(b"etag"), entity_tag(body, response.first(b"content-encoding"))):
        _tag_is_sound(tag, request, response.without((b"etag",)))


def _own_conditions_are_met(response: Fields) -> None:
    asked = conditions(response)
    assert has_validator(response) is bool(asked)
    assert {value for _, value in asked} <= {value for _, value in response}
    tag = response.first(b"etag") or b'""'
    if asked and _ENTITY_TAG.fullmatch(tag):
        assert not_modified(Fields(asked), response)


def _tag_is_sound(tag: bytes, request: Fields, response: Fields) -> None:
    weak = tag.startswith(b"W/")
    assert same_weak(tag, tag)
    assert same_strong(tag, tag) is not weak
    tagged = response.plus((b"etag", tag))
    assert not (weak and if_range(Fields([(b"if-range", tag)]), tagged))
    for asked in request.values(b"if-none-match"):
        assert same_weak(tag, asked) or not same_strong(tag, asked)


# Parts --------------------------------------------------------------------------------------------


def fuzz_ranges(data: bytes) -> None:
    """A request's head, a stored response's head, and its body."""
    head, stored, body = sections(data, 3)
    response = fields(stored)
    if may_cut(fields(head), response, body):
        assert has_own_tag(response, body) or not is_coded(response)
    spans = select(fields(head), response, len(body))
    if spans is None:
        return
    answer = partial(response, body, spans)
    assert answer.fields.values(b"content-length") == [b"%d" % len(answer.body)]
    assert len(spans) <= MAX_RANGES
    assert all(0 <= span.first <= span.last < len(body) for span in spans)
    if not spans:
        assert answer.status == 416
        assert answer.fields.values(b"content-range") == [b"bytes */%d" % len(body)]
        assert answer.body == b""
    elif len(spans) == 1:
        _is_part(answer.body, answer.fields.values(b"content-range"), spans[0], body)
    else:
        _is_multipart(answer, spans, body)


def _is_part(part: bytes, said: list[bytes], span: Span, body: bytes) -> None:
    assert part == body[span.first : span.last + 1]
    assert said == [b"bytes %d-%d/%d" % (span.first, span.last, len(body))]
    assert len(part) == span.length


def _is_multipart(answer: Partial, spans: tuple[Span, ...], body: bytes) -> None:
    (kind,) = answer.fields.values(b"content-type")
    assert b"content-range" not in answer.fields
    delimiter = b"--" + kind.removeprefix(b"multipart/byteranges; boundary=")
    pieces = (b"\r\n" + answer.body).split(b"\r\n" + delimiter)
    assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
    for piece, span in zip(pieces[1:-1], spans, strict=True):
        head, _, part = piece.partition(b"\r\n\r\n")
        _is_part(part, fields(head).values(b"content-range"), span, body)
    assert sum(span.length for span in spans) <= len(body)


# Updates ------------------------------------------------------------------------------------------

_NEVER_UPDATED = frozenset(
    {
        *(b"age", b"content-encoding", b"content-length", b"content-range", b"etag"),
        *(b"connection", b"keep-alive", b"set-cookie", b"set-cookie2", b"transfer-encoding"),
    }
)


def fuzz_freshening(data: bytes) -> None:
    """A stored response's head, and that of a 304 or of the answer to a HEAD."""
    stored, update = map(fields, sections(data, 2))
    after = freshened(stored, update)
    if b"date" not in update:
        assert b"date" not in after
    stored = not_stating_lifetime(stored).without(() if b"date" in update else (b"date",))
    kept_out = _NEVER_UPDATED | connection_fields(update)
    for name in {*stored.names, *update.names}:
        newer = name in update and name not in kept_out
        assert after.values(name) == (update if newer else stored).values(name)
    assert after.names <= stored.names | update.names
    assert freshened(after, update) == after
    assert matches(stored, Fields([]))
    if b"etag" in update and b"etag" not in stored:
        assert not matches(stored, update)
    if head_matches(stored, 5, update):
        assert set(update.values(b"content-length")) <= {b"5"}


# Storing ------------------------------------------------------------------------------------------


def fuzz_storing(data: bytes) -> None:
    """The case in the first line, such as `200 ttl swr sie retain heuristic cookies`, then a head."""
    case, _, lines = data.partition(b"\n")
    words = frozenset(case.split())
    status = int(case[:3]) if case[:3].isdigit() else 200
    head, policy = Head(status=status, headers=fields(lines)), _policy(words)
    control = effective_control(head.headers, TARGETS)
    judged = judge(
        head,
        control,
        policy,
        cookies_sent=b"cookies" in words,
        authorization_sent=b"authorization" in words,
        wall_now=WALL_NOW,
    )
    _lifetimes_are_sound(head, control)
    _keeps_out(storable(head.headers, control), head.headers, control)
    if isinstance(judged, Refused):
        assert judged.reason
        return
    _may_be_kept(head, control, words)
    _is_sound(judged, head, control)


def _policy(words: frozenset[bytes]) -> Policy:
    return Policy(
        ttl=60.0 if b"ttl" in words else None,
        negative_ttl=5.0 if b"negative" in words else None,
        stale_while_revalidate=10.0 if b"swr" in words else None,
        stale_if_error=100.0 if b"sie" in words else None,
        heuristic=0.1 if b"heuristic" in words else None,
        retain=30.0 if b"retain" in words else 0.0,
    )


def _lifetimes_are_sound(head: Head, control: CacheControl) -> None:
    fields = head.headers
    for lifetime in (
        explicit_lifetime(control, fields, WALL_NOW),
        heuristic_lifetime(head.status, fields, control, WALL_NOW, 0.1),
    ):
        assert lifetime is None or (isfinite(lifetime) and lifetime >= 0)
    _is_read_alike_downstream(fields)
    age = initial_age(fields, WALL_NOW)
    assert isfinite(age)
    assert age >= 0


def _is_read_alike_downstream(given: Fields) -> None:
    stated = stating_lifetime(given, WALL_NOW)
    assert stating_lifetime(stated, WALL_NOW + 99) == stated
    before, after = (explicit_lifetime(parse(each), each, WALL_NOW) for each in (given, stated))
    assert (before is None) is (after is None)
    if before is not None and after is not None:
        assert min(before, MAX_SECONDS) == min(after, MAX_SECONDS)
    assert not_stating_lifetime(stated).names <= stated.names


def _keeps_out(kept: Fields, given: Fields, control: CacheControl) -> None:
    out = connection_fields(given) | control.omitted | {b"age", b"connection"}
    assert kept.names.isdisjoint(out)
    assert list(kept) == [pair for pair in given if pair[0] not in out]
    for line in given.values(b"connection"):
        assert kept.names.isdisjoint(name.strip().lower() for name in line.split(b","))


def _may_be_kept(head: Head, control: CacheControl, words: frozenset[bytes]) -> None:
    given = head.headers
    assert given.names.isdisjoint({b"set-cookie", b"set-cookie2", b"trailer"})
    assert 200 <= head.status <= 599
    assert head.status not in (206, 304)
    assert all(length.isdigit() for length in given.values(b"content-length")[:1])
    assert len(given.values(b"content-length")) <= 1
    assert not control.private
    assert control.must_understand or not control.no_store
    varies = _plain_members(given, b"vary")
    assert b"*" not in varies
    if not control.targeted and b'"' not in b"".join(given.values(b"cache-control")):
        said = _plain_members(given, b"cache-control")
        assert b"private" not in said
        assert b"no-store" not in said or b"must-understand" in said
    if b"cookies" in words:
        assert control.public or b"cookie" in varies
    if b"authorization" in words:
        assert control.shares_authorized


def _plain_members(given: Fields, name: bytes) -> set[bytes]:
    """Read a list as somebody does who knows no quotes."""
    return {member.strip().lower() for member in b",".join(given.values(name)).split(b",")}


def _is_sound(judged: Lifetime, head: Head, control: CacheControl) -> None:
    limited = judged.limited(5.0)
    assert 0 <= limited.fresh <= min(judged.fresh, 5.0)
    assert limited.kept == min(judged.kept, 5.0)
    lasting = judged.lasting(5.0)
    assert lasting.fresh == 5.0
    assert isclose(lasting.kept - 5.0, judged.kept - judged.fresh, rel_tol=1e-6, abs_tol=1e-6)
    windows = (judged.stale_while_revalidate, judged.stale_if_error)
    assert isfinite(judged.kept)
    assert 0 <= judged.fresh <= judged.kept
    assert all(0 <= window <= judged.kept - judged.fresh for window in windows)
    assert judged.kept > initial_age(head.headers, WALL_NOW)
    if control.forbids_stale:
        assert windows == (0.0, 0.0)
    if control.no_cache:
        assert judged.fresh == 0


# Invalidation -------------------------------------------------------------------------------------


def fuzz_invalidation(data: bytes) -> None:
    """Method and path in the first line, then the head of the answer."""
    line, _, head = data.partition(b"\n")
    method, _, path = line.decode("latin-1").partition(" ")
    base = "https://shop.example" + quote(f"/{path}")
    found = targets(fields(head), base)
    assert len(found) == len(set(found))
    for uri in found:
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "shop.example", "")
        assert uri.startswith("https://shop.example/")
        assert targets(Fields([(b"location", uri.encode("ascii"))]), base) == [uri]
    assert invalidates(method, 200) is is_unsafe(method)
    assert not invalidates(method, 500)
