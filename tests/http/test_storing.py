"""May a shared cache keep it (RFC 9111 §3), and for how long with what grace (RFC 5861)?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_control import parse
from cachemw.http.fields import Fields
from cachemw.http.freshness import Lifetime
from cachemw.http.messages import Head
from cachemw.http.storing import Policy, Refused, judge

NOW = 1_700_000_000.0
TTL = Policy(ttl=60.0)
LETTER = Policy(ttl=None)
"""`ttl = "response"`: only what the response itself allows."""
NEGATIVE = Policy(ttl=60.0, negative_ttl=5.0)
GRACE = Policy(ttl=60.0, stale_while_revalidate=10.0, stale_if_error=100.0)

Row = Any


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
    pytest.param(TTL, 200, [cc(b'no-cache="x"')], "no-cache", id="9111 5.2.2.4 for one field"),
    pytest.param(TTL, 200, [cc(b"public, no-store")], "no-store", id="9111 3 public lifts nothing"),
    pytest.param(TTL, 200, [(b"set-cookie", b"")], "set-cookie", id="9111 7.3 Set-Cookie"),
    pytest.param(
        TTL, 200, [cc(b"public"), (b"set-cookie", b"a=1")], "set-cookie", id="9111 7.3 public too"
    ),
    pytest.param(TTL, 200, [(b"vary", b"*")], "vary-star", id="9111 4.1 Vary: *"),
    pytest.param(TTL, 200, [(b"vary", b"accept, *")], "vary-star", id="9111 4.1 * in a list"),
    pytest.param(
        TTL, 200, [(b"vary", b"accept"), (b"vary", b"*")], "vary-star", id="9111 4.1 on a line"
    ),
    pytest.param(LETTER, 206, [FRESH], "partial", id="9111 3.3 206"),
    pytest.param(LETTER, 304, [FRESH], "partial", id="9111 3 304"),
    pytest.param(TTL, 200, [(b"content-range", b"bytes 0-1/9")], "partial", id="9110 14.4 a range"),
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
    pytest.param(TTL, 302, [], "status", id="route ttl: 302 is about this request"),
    pytest.param(TTL, 500, [], "status", id="route ttl: 500"),
    pytest.param(TTL, 401, [], "status", id="route ttl: 401"),
    pytest.param(TTL, 204, [], "status", id="route ttl: 204"),
    pytest.param(TTL, 302, [FRESH], "status", id="route ttl: 302 with max-age"),
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
    pytest.param(TTL, 200, [(b"vary", b"accept")], 60, id="9111 4.1 a Vary of names"),
    pytest.param(TTL, 200, [(b"vary", b"*x")], 60, id="9111 4.1 only * itself is everything"),
    pytest.param(TTL, 200, [(b"transfer-encoding", b"Chunked")], 60, id="9112 7.1 chunks only"),
    pytest.param(TTL, 200, [(b"pragma", b"no-cache")], 60, id="9111 5.4 Pragma says nothing"),
]


@pytest.mark.parametrize(("policy", "status", "fields", "fresh"), KEPT)
def test_it_is_kept(
    policy: Policy, status: int, fields: list[tuple[bytes, bytes]], fresh: float
) -> None:
    assert decide(policy, status, *fields) == Lifetime(fresh=fresh)


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


NAMES = st.sampled_from(
    [b"cache-control", b"vary", b"set-cookie", b"expires", b"date", b"transfer-encoding", b"x"]
)
VALUES = st.binary(max_size=10) | st.sampled_from(
    [b"no-store", b"private", b"public", b"max-age=60", b"*", b"cookie", b"chunked", b"Private ,"]
)


@given(
    st.sampled_from([TTL, LETTER, NEGATIVE, GRACE]),
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
    assert decided.fresh > 0
    assert not words & {b"no-store", b"private"}
    assert not any(name == b"set-cookie" for name, _ in fields)
    assert (b"vary", b"*") not in fields
