"""May a shared cache keep it (RFC 9111 §3), and for how long with what grace (RFC 5861)?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_control import CacheControl, parse
from cachemw.http.dates import format_date
from cachemw.http.fields import Fields
from cachemw.http.freshness import Lifetime
from cachemw.http.messages import Head
from cachemw.http.storing import Policy, Refused, judge, storable

NOW = 1_700_000_000.0
TTL = Policy(ttl=60.0)
LETTER = Policy(ttl=None)
"""`ttl = "response"`: only what the response itself allows."""
NEGATIVE = Policy(ttl=60.0, negative_ttl=5.0)
GRACE = Policy(ttl=60.0, stale_while_revalidate=10.0, stale_if_error=100.0)

RETAIN = Policy(ttl=None, retain=1000.0)
GUESS = Policy(ttl=None, heuristic=0.1)

Row = Any
ETAG = (b"etag", b'"a"')


def modified(when: bytes | float) -> tuple[bytes, bytes]:
    return b"last-modified", when if isinstance(when, bytes) else format_date(NOW + when)


def date(seconds: float) -> tuple[bytes, bytes]:
    return b"date", format_date(NOW + seconds)


def decide(
    policy: Policy, status: int, *fields: tuple[bytes, bytes], **sent: bool
) -> Lifetime | Refused:
    head = Head(status=status, headers=Fields(fields))
    return judge(
        head,
        parse(head.headers),
        policy,
        cookies_sent=sent.get("cookies", False),
        authorization_sent=sent.get("authorization", False),
        wall_now=NOW,
    )


def cc(value: bytes) -> tuple[bytes, bytes]:
    return b"cache-control", value


FRESH = cc(b"max-age=30")

REFUSED: list[Row] = [
    pytest.param(TTL, 200, [cc(b"no-store")], "no-store", id="9111 5.2.2.5 no-store"),
    pytest.param(TTL, 200, [cc(b"private")], "private", id="9111 5.2.2.7 private"),
    pytest.param(TTL, 200, [cc(b"PRIVATE")], "private", id="9111 5.2 in any case"),
    pytest.param(TTL, 200, [FRESH, cc(b"private")], "private", id="9111 5.2.2.7 on a later line"),
    pytest.param(TTL, 200, [cc(b"no-cache")], "no-cache", id="9111 5.2.2.4 no-cache"),
    pytest.param(
        TTL, 200, [cc(b'no-cache=""')], "no-cache", id="9111 5.2.2.4 for no field: the whole"
    ),
    pytest.param(TTL, 200, [cc(b"no-cache"), ETAG], "no-cache", id="9111 5.2.2.4 nothing retained"),
    pytest.param(RETAIN, 200, [cc(b"no-cache")], "no-cache", id="9111 5.2.2.4 no validator"),
    pytest.param(
        RETAIN, 200, [cc(b"no-cache"), modified(b"0")], "no-cache", id="9111 5.2.2.4 no date"
    ),
    pytest.param(
        RETAIN,
        200,
        [cc(b'no-cache, private="etag"'), ETAG],
        "no-cache",
        id="9111 5.2.2.7 a validator that is not stored",
    ),
    pytest.param(
        RETAIN,
        200,
        [cc(b"no-cache"), ETAG, (b"connection", b"ETag")],
        "no-cache",
        id="9111 3.1 a validator of the connection",
    ),
    pytest.param(RETAIN, 302, [cc(b"no-cache"), ETAG], "no-cache", id="9110 13.2.1 not a 2xx"),
    pytest.param(
        RETAIN, 200, [cc(b"no-store, no-cache"), ETAG], "no-store", id="9111 5.2.2.5 all the same"
    ),
    pytest.param(
        RETAIN, 200, [cc(b"no-cache, private"), ETAG], "private", id="9111 5.2.2.7 all the same"
    ),
    pytest.param(
        LETTER, 599, [cc(b"no-store, must-understand, max-age=9")], "no-store", id="9111 5.2.2.3"
    ),
    pytest.param(TTL, 200, [cc(b"public, no-store")], "no-store", id="9111 3 public lifts nothing"),
    pytest.param(TTL, 200, [(b"set-cookie", b"")], "set-cookie", id="9111 7.3 Set-Cookie"),
    pytest.param(
        TTL, 200, [cc(b"public"), (b"set-cookie", b"a=1")], "set-cookie", id="9111 7.3 public too"
    ),
    pytest.param(TTL, 200, [(b"set-cookie2", b"a=1")], "set-cookie", id="9111 7.3 Set-Cookie2"),
    pytest.param(
        TTL, 200, [(b"content-security-policy", b"script-src 'nonce-a'")], "nonce", id="CSP3 7.1"
    ),
    pytest.param(
        TTL,
        200,
        [
            cc(b"public"),
            (b"content-security-policy-report-only", b"default-src 'self'"),
            (b"content-security-policy-report-only", b"style-src 'self' 'Nonce-a'; img-src *"),
        ],
        "nonce",
        id="CSP3 7.1 on a line, in any case",
    ),
    pytest.param(TTL, 200, [(b"vary", b"*")], "vary-star", id="9111 4.1 Vary: *"),
    pytest.param(TTL, 200, [(b"vary", b"accept, *")], "vary-star", id="9111 4.1 * in a list"),
    pytest.param(
        TTL, 200, [(b"vary", b"accept"), (b"vary", b"*")], "vary-star", id="9111 4.1 on a line"
    ),
    pytest.param(LETTER, 206, [FRESH], "partial", id="9111 3.3 206"),
    pytest.param(LETTER, 304, [FRESH], "partial", id="9111 3 304"),
    pytest.param(
        LETTER, 206, [FRESH, (b"content-range", b"bytes 0-1/9")], "partial", id="9110 14.4 a range"
    ),
    pytest.param(
        TTL, 200, [(b"transfer-encoding", b"gzip")], "transfer-encoding", id="9112 6.1 a coding"
    ),
    pytest.param(
        TTL,
        200,
        [(b"transfer-encoding", b"gzip, chunked")],
        "transfer-encoding",
        id="9112 6.1 a coding under chunks",
    ),
    pytest.param(TTL, 200, [(b"trailer", b"digest")], "trailers", id="9110 6.6.2 trailers"),
    *(
        pytest.param(
            TTL,
            200,
            [(b"content-length", each) for each in lengths],
            "length",
            id=f"9110 8.6 {lengths}",
        )
        for lengths in (
            [b"2", b"9"],
            [b"2", b"2"],
            [b"2, 2"],
            [b"2", b""],
            [b""],
            [b"+2"],
            [b"-2"],
            [b"2.0"],
            [b"0x2"],
            [b"two"],
        )
    ),
    *(
        pytest.param(policy, status, [FRESH, cc(b"public")], "status", id=f"9110 15 {status}")
        for policy in (LETTER, TTL, NEGATIVE, GUESS)
        for status in (-200, 0, 99, 100, 101, 103, 199, 600, 700, 999)
    ),
    pytest.param(TTL, 302, [], "status", id="route ttl: 302 is about this request"),
    pytest.param(TTL, 500, [], "status", id="route ttl: 500"),
    pytest.param(TTL, 401, [], "status", id="route ttl: 401"),
    pytest.param(TTL, 204, [], "status", id="route ttl: 204"),
    pytest.param(TTL, 302, [FRESH], "status", id="route ttl: 302 with max-age"),
    pytest.param(NEGATIVE, 302, [FRESH], "status", id="route negative_ttl: only 404 and 410"),
    pytest.param(TTL, 404, [], "status", id="route ttl: 404 without negative_ttl"),
    pytest.param(TTL, 404, [FRESH], "status", id="route ttl: 404 with max-age"),
    pytest.param(
        Policy(ttl=60.0, negative_ttl=0.0), 404, [FRESH], "status", id="route ttl: negative_ttl = 0"
    ),
    pytest.param(LETTER, 200, [], "no-lifetime", id="9111 4.2.2 no heuristics"),
    pytest.param(
        LETTER, 200, [cc(b"public")], "no-lifetime", id="9111 4.2.2 public is no lifetime"
    ),
    pytest.param(TTL, 200, [cc(b"max-age=0")], "stale", id="9111 4.2 max-age=0"),
    pytest.param(TTL, 200, [cc(b"s-maxage=0, max-age=9")], "stale", id="9111 4.2.1 s-maxage=0"),
    pytest.param(TTL, 200, [cc(b"max-age=never")], "stale", id="9111 4.2.1 unreadable"),
    pytest.param(TTL, 200, [(b"expires", b"0")], "stale", id="9111 5.3 Expires: 0"),
    pytest.param(TTL, 200, [cc(b"max-age=0"), ETAG], "stale", id="9111 4.2 nothing retained"),
    pytest.param(RETAIN, 200, [cc(b"max-age=0")], "stale", id="9111 4.2 no validator"),
    pytest.param(RETAIN, 404, [cc(b"max-age=0"), ETAG], "stale", id="9110 13.2.1 404"),
    pytest.param(
        GRACE, 200, [cc(b"max-age=0, must-revalidate")], "stale", id="9111 4.2.4 no window"
    ),
    pytest.param(TTL, 200, [FRESH, (b"age", b"30")], "stale", id="9111 4.2 stale on arrival"),
    pytest.param(TTL, 200, [(b"age", b"60")], "stale", id="route ttl: stale on arrival"),
    pytest.param(TTL, 200, [date(-60)], "stale", id="route ttl: an hour ago"),
    pytest.param(GRACE, 200, [FRESH, (b"age", b"130")], "stale", id="5861 windows are over"),
    pytest.param(
        RETAIN, 200, [FRESH, ETAG, (b"age", b"1030")], "stale", id="9111 4.2 too old to ask about"
    ),
    pytest.param(TTL, 200, [FRESH, (b"age", b"60, 0")], "stale", id="9111 5.1 the first of a list"),
    pytest.param(GRACE, 302, [(b"age", b"x")], "status", id="route ttl: 302, Age or no Age"),
    pytest.param(
        Policy(ttl=60.0, negative_ttl=0.0, stale_if_error=9.0),
        404,
        [],
        "status",
        id="route ttl: negative_ttl = 0 grants no window either",
    ),
    pytest.param(GUESS, 200, [], "no-lifetime", id="9111 4.2.2 nothing to guess from"),
    pytest.param(GUESS, 403, [modified(-100)], "no-lifetime", id="9110 15.1 not by heuristics"),
    pytest.param(LETTER, 200, [modified(-100)], "no-lifetime", id="9111 4.2.2 not asked to guess"),
    pytest.param(GUESS, 200, [modified(100)], "stale", id="9111 4.2.2 modified in the future"),
    pytest.param(
        LETTER, 599, [cc(b"must-understand, max-age=9")], "status", id="9111 5.2.2.3 not understood"
    ),
]


@pytest.mark.parametrize(("policy", "status", "fields", "reason"), REFUSED)
def test_it_is_refused(
    policy: Policy, status: int, fields: list[tuple[bytes, bytes]], reason: str
) -> None:
    assert decide(policy, status, *fields) == Refused(reason)


KEPT: list[Row] = [
    pytest.param(TTL, 200, [], 60, id="route ttl: where nothing is stated"),
    pytest.param(TTL, 200, [FRESH], 30, id="9111 4.2.1 what is stated wins over the route"),
    pytest.param(TTL, 200, [cc(b"max-age=600")], 600, id="9111 4.2.1 also when it is longer"),
    *(pytest.param(TTL, s, [], 60, id=f"route ttl: {s}") for s in (203, 301, 308)),
    pytest.param(NEGATIVE, 404, [], 5, id="route negative_ttl: 404"),
    pytest.param(NEGATIVE, 410, [], 5, id="route negative_ttl: 410"),
    pytest.param(NEGATIVE, 404, [FRESH], 30, id="route negative_ttl: what is stated wins"),
    *(
        pytest.param(LETTER, s, [FRESH], 30, id=f"9111 3 any final status: {s}")
        for s in (200, 204, 302, 404, 410, 500, 503, 599)
    ),
    pytest.param(LETTER, 302, [cc(b"must-understand, max-age=9")], 9, id="9111 5.2.2.3 understood"),
    pytest.param(TTL, 200, [cc(b"must-revalidate, max-age=9")], 9, id="9111 5.2.2.2 is no refusal"),
    pytest.param(
        LETTER, 200, [cc(b"no-store, must-understand, max-age=9")], 9, id="9111 5.2.2.3 no-store"
    ),
    pytest.param(TTL, 200, [cc(b'no-cache="x", private="y"')], 60, id="9111 5.2.2.4 some fields"),
    pytest.param(TTL, 200, [(b"content-range", b"bytes 0-1/9")], 60, id="9110 14.4 a mere field"),
    pytest.param(LETTER, 200, [FRESH, (b"age", b"29")], 30, id="9111 4.2 from its birth"),
    pytest.param(TTL, 200, [FRESH, (b"age", b"x")], 30, id="9111 5.1 an Age that is none"),
    pytest.param(TTL, 200, [(b"age", b"0, 90")], 60, id="9111 5.1 the first of a list"),
    pytest.param(
        LETTER, 200, [FRESH, (b"age", b"0"), (b"age", b"90")], 30, id="9111 5.1 the first line"
    ),
    pytest.param(TTL, 200, [(b"content-length", b"2")], 60, id="9110 8.6 one length"),
    pytest.param(TTL, 200, [(b"content-encoding", b"gzip")], 60, id="9110 12.5.3 a coding"),
    pytest.param(GUESS, 200, [modified(-100)], 10, id="9111 4.2.2 a guess"),
    pytest.param(GUESS, 200, [modified(-100), FRESH], 30, id="9111 4.2.2 what is stated wins"),
    pytest.param(
        Policy(ttl=60.0, heuristic=0.1), 200, [modified(-100)], 60, id="route ttl: no guess"
    ),
    pytest.param(TTL, 200, [(b"vary", b"accept")], 60, id="9111 4.1 a Vary of names"),
    pytest.param(TTL, 200, [(b"vary", b"*x")], 60, id="9111 4.1 only * itself is everything"),
    pytest.param(TTL, 200, [(b"transfer-encoding", b"Chunked")], 60, id="9112 7.1 chunks only"),
    pytest.param(TTL, 200, [(b"pragma", b"no-cache")], 60, id="9111 5.4 Pragma says nothing"),
]


@pytest.mark.parametrize(("policy", "status", "fields", "fresh"), KEPT)
def test_it_is_kept(
    policy: Policy, status: int, fields: list[tuple[bytes, bytes]], fresh: float
) -> None:
    decided = decide(policy, status, *fields)
    assert isinstance(decided, Lifetime)
    assert (decided.fresh, decided.kept) == (fresh, fresh)


KNOWN_CLIENTS: list[Row] = [
    pytest.param("authorization", [], "authorization", id="9111 3.5 nothing said"),
    pytest.param("authorization", [cc(b"max-age=9")], "authorization", id="9111 3.5 max-age"),
    pytest.param("authorization", [cc(b"public")], None, id="9111 3.5 public"),
    pytest.param("authorization", [cc(b"s-maxage=9")], None, id="9111 3.5 s-maxage"),
    pytest.param(
        "authorization", [cc(b"must-revalidate, max-age=9")], None, id="9111 3.5 must-revalidate"
    ),
    pytest.param(
        "authorization",
        [cc(b"must-revalidate")],
        "authorization",
        id="no lifetime of its own: known",
    ),
    pytest.param(
        "authorization",
        [(b"vary", b"authorization")],
        "authorization",
        id="9111 3.5 Vary is not it",
    ),
    pytest.param(
        "authorization",
        [cc(b"public, no-store")],
        "no-store",
        id="9111 3.5 public lifts no other refusal",
    ),
    pytest.param("cookies", [], "cookie", id="9111 7.3 nothing said"),
    pytest.param("cookies", [cc(b"s-maxage=9")], "cookie", id="9111 7.3 s-maxage is not it"),
    pytest.param("cookies", [cc(b"public")], None, id="9111 5.2.2.9 public"),
    pytest.param(
        "cookies", [(b"vary", b"Accept, COOKIE"), FRESH], None, id="9111 4.1 Vary: Cookie"
    ),
    pytest.param("cookies", [(b"vary", b"cookie")], "cookie", id="no lifetime of its own: session"),
]


@pytest.mark.parametrize(("known_by", "fields", "reason"), KNOWN_CLIENTS)
def test_an_answer_to_a_known_client_must_say_that_it_is_for_all(
    known_by: str, fields: list[tuple[bytes, bytes]], reason: str | None
) -> None:
    decided = decide(TTL, 200, *fields, **{known_by: True})
    assert (decided.reason if isinstance(decided, Refused) else None) == reason


GRACES: list[Row] = [
    pytest.param([], 10, 100, id="5861 the route's windows"),
    pytest.param([cc(b"max-age=9, stale-while-revalidate=3")], 3, 100, id="5861 3 its own wins"),
    pytest.param([cc(b"max-age=9, stale-if-error=3")], 10, 3, id="5861 4 its own wins"),
    pytest.param([cc(b"max-age=9, stale-if-error=0")], 10, 0, id="5861 4 zero is its own"),
    pytest.param([cc(b"stale-if-error=x")], 10, 0, id="5861 4 unreadable grants nothing"),
    pytest.param([cc(b"must-revalidate")], 0, 0, id="9111 4.2.4 must-revalidate"),
    pytest.param([cc(b"proxy-revalidate")], 0, 0, id="9111 4.2.4 proxy-revalidate"),
    pytest.param([cc(b"s-maxage=9")], 0, 0, id="9111 4.2.4 s-maxage"),
    pytest.param(
        [cc(b"must-revalidate, stale-if-error=9")], 0, 0, id="9111 4.2.4 also over its own windows"
    ),
]


@pytest.mark.parametrize(("fields", "revalidate", "on_error"), GRACES)
def test_the_stale_windows(
    fields: list[tuple[bytes, bytes]], revalidate: float, on_error: float
) -> None:
    decided = decide(GRACE, 200, *fields)
    assert isinstance(decided, Lifetime)
    assert (decided.stale_while_revalidate, decided.stale_if_error) == (revalidate, on_error)


KEPT_STALE: list[Row] = [
    pytest.param(GRACE, [FRESH], 30, 130, id="5861 the longer window"),
    pytest.param(GRACE, [cc(b"max-age=0")], 0, 100, id="5861 never fresh, of use stale"),
    pytest.param(GRACE, [FRESH, (b"age", b"129")], 30, 130, id="9111 4.2 stale on arrival"),
    pytest.param(RETAIN, [FRESH, ETAG], 30, 1030, id="9111 4.3.1 an ETag to ask with"),
    pytest.param(RETAIN, [FRESH, modified(-9)], 30, 1030, id="9111 4.3.1 a date to ask with"),
    pytest.param(RETAIN, [FRESH, modified(b"0")], 30, 30, id="9111 4.3.1 a date that is none"),
    pytest.param(RETAIN, [FRESH, (b"etag", b" ")], 30, 30, id="9111 4.3.1 a tag that is none"),
    pytest.param(RETAIN, [FRESH], 30, 30, id="9111 4.3.1 nothing to ask with"),
    pytest.param(RETAIN, [cc(b"max-age=0"), ETAG], 0, 1000, id="9111 4.2 asked about each time"),
    pytest.param(
        RETAIN,
        [cc(b"max-age=30, must-revalidate"), ETAG],
        30,
        1030,
        id="9111 5.2.2.2 to ask is what it wants",
    ),
    pytest.param(RETAIN, [cc(b"no-cache"), ETAG], 0, 1000, id="9111 5.2.2.4 no-cache"),
    pytest.param(
        RETAIN, [cc(b"no-cache, max-age=30"), ETAG], 0, 1000, id="9111 5.2.2.4 over max-age"
    ),
    pytest.param(
        Policy(ttl=60.0, stale_if_error=9.0, retain=1.0),
        [cc(b"no-cache, stale-if-error=9"), ETAG],
        0,
        1,
        id="9111 4.2.4 no-cache grants no window",
    ),
]


@pytest.mark.parametrize(("policy", "fields", "fresh", "kept"), KEPT_STALE)
def test_it_is_kept_for_as_long_as_it_is_of_use(
    policy: Policy, fields: list[tuple[bytes, bytes]], fresh: float, kept: float
) -> None:
    decided = decide(policy, 200, *fields)
    assert isinstance(decided, Lifetime)
    assert (decided.fresh, decided.kept) == (fresh, kept)


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        pytest.param(200, 1030, id="9110 13.2.1 200"),
        pytest.param(203, 1030, id="9110 13.2.1 203"),
        pytest.param(202, 30, id="9110 13.2.1 not 202"),
        pytest.param(204, 30, id="9110 13.2.1 not 204"),
        pytest.param(404, 30, id="9110 13.2.1 not 404"),
    ],
)
def test_only_a_whole_representation_is_kept_to_be_validated(status: int, kept: float) -> None:
    decided = decide(RETAIN, status, FRESH, ETAG)
    assert isinstance(decided, Lifetime)
    assert decided.kept == kept


LEFT_OUT: list[Row] = [
    pytest.param([], b"a b content-length", id="9111 3.1 what is the response's own"),
    pytest.param([(b"age", b"9")], b"a b content-length", id="9111 5.1 Age"),
    pytest.param(
        [(b"connection", b"A, x"), (b"x", b"1"), (b"keep-alive", b"9"), (b"upgrade", b"h2c")],
        b"b content-length",
        id="9110 7.6.1 Connection and what it names",
    ),
    pytest.param(
        [(name, b"x") for name in (b"te", b"trailer", b"transfer-encoding", b"proxy-connection")],
        b"a b content-length",
        id="9111 3.1 of one hop",
    ),
    pytest.param(
        [(b"connection", b'"y, X'), (b"x", b"1")],
        b"a b content-length",
        id="9110 7.6.1 behind a quote that never closes",
    ),
    pytest.param(
        [
            (b"proxy-authenticate", b"x"),
            (b"proxy-authentication-info", b"x"),
            (b"proxy-authorization", b"x"),
        ],
        b"a b content-length",
        id="9111 3.1 of a proxy",
    ),
]


@pytest.mark.parametrize(("more", "names"), LEFT_OUT)
def test_what_is_stored_of_the_fields(more: list[tuple[bytes, bytes]], names: bytes) -> None:
    own = [(b"a", b"1"), (b"b", b"2"), (b"content-length", b"3")]
    stored = storable(Fields([*own[:2], *more, own[2]]), CacheControl())
    assert b" ".join(name for name, _ in stored) == names


def test_fields_of_one_client_are_not_stored() -> None:
    """RFC 9111 §5.2.2.7, and §5.2.2.4."""
    fields = Fields([cc(b'private="a", no-cache="B"'), (b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    assert list(storable(fields, parse(fields)))[1:] == [(b"c", b"3")]


NAMES = st.sampled_from(
    [
        b"age",
        b"cache-control",
        b"connection",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"set-cookie",
        b"transfer-encoding",
        b"vary",
        b"x",
    ]
)
VALUES = st.binary(max_size=10) | st.sampled_from(
    [
        b"no-store",
        b"no-cache",
        b"private",
        b"public",
        b"max-age=60",
        b"*",
        b"cookie",
        b"chunked",
        b"Private ,",
    ]
)


@given(
    st.sampled_from([TTL, LETTER, NEGATIVE, GRACE, RETAIN, GUESS]),
    st.integers(-1, 700),
    st.lists(st.tuples(NAMES, VALUES)),
    st.booleans(),
    st.booleans(),
)
def test_nothing_raises_and_nothing_forbidden_is_kept(
    policy: Policy, status: int, fields: list[tuple[bytes, bytes]], cookies: bool, known: bool
) -> None:
    decided = decide(policy, status, *fields, cookies=cookies, authorization=known)
    words = {value.strip(b" ,").lower() for name, value in fields if name == b"cache-control"}
    if isinstance(decided, Refused):
        assert decided.reason
        return
    assert decided.fresh >= 0
    assert decided.kept > 0
    assert decided.fresh == 0 or b"no-cache" not in words
    storable(Fields(fields), parse(Fields(fields)))
    assert not words & {b"no-store", b"private"}
    assert not any(name == b"set-cookie" for name, _ in fields)
    assert (b"vary", b"*") not in fields
