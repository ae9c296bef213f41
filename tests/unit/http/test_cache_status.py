"""The Cache-Status field (RFC 9211), read back as a structured field."""

from __future__ import annotations

from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_status import CACHE_NAME, forwarded, hit

FORWARD_REASONS = (
    "bypass",
    "method",
    "miss",
    "partial",
    "request",
    "stale",
    "uri-miss",
    "vary-miss",
)

WRITTEN = [
    pytest.param(hit(30, "memory"), b"cachemw; hit; ttl=30; detail=memory", id="9211 2.1 hit"),
    pytest.param(hit(-5, "stale"), b"cachemw; hit; ttl=-5; detail=stale", id="9211 2.4 stale"),
    pytest.param(forwarded("miss"), b"cachemw; fwd=miss", id="9211 2.2 fwd"),
    pytest.param(
        forwarded("miss", stored=True), b"cachemw; fwd=miss; stored", id="9211 2.5 stored"
    ),
    pytest.param(
        forwarded("bypass", detail="range"),
        b"cachemw; fwd=bypass; detail=range",
        id="9211 2.8 detail",
    ),
    pytest.param(
        hit(30, "memory", key="/a b?c"),
        b'cachemw; hit; ttl=30; detail=memory; key="/a b?c"',
        id="9211 2.7 key of a hit",
    ),
    pytest.param(
        forwarded(
            "stale",
            fwd_status=304,
            stored=True,
            collapsed=True,
            ttl=9,
            key="k",
            detail="revalidated",
        ),
        b'cachemw; fwd=stale; fwd-status=304; ttl=9; stored; collapsed; key="k"; detail=revalidated',
        id="9211 2 everything",
    ),
    pytest.param(
        forwarded("miss", detail="5 times"),
        b'cachemw; fwd=miss; detail="5 times"',
        id="9211 2.8 a detail that is no token",
    ),
    pytest.param(
        hit(0, "memory", key='a"\\\n\x7f\u00e9'),
        b'cachemw; hit; ttl=0; detail=memory; key="a\\"\\\\%0A%7F%C3%A9"',
        id="9651 3.3.3 what no string holds",
    ),
    pytest.param(
        hit(0, "memory", key=""), b'cachemw; hit; ttl=0; detail=memory; key=""', id="9211"
    ),
]


@pytest.mark.parametrize(("written", "expected"), WRITTEN)
def test_the_field_says_what_was_done(written: bytes, expected: bytes) -> None:
    assert written == expected


def read(written: bytes) -> dict[str, Any]:
    """Read the one member back, by another implementation."""
    members = http_sf.parse(written, tltype="list")
    assert isinstance(members, list)
    ((name, parameters),) = members
    assert str(name) == CACHE_NAME
    return dict(parameters)


NUMBERS = st.integers(-(2**31), 2**31)
TEXTS = st.text(max_size=20)
SURROGATES = st.text(st.characters(categories=["Cs"]), max_size=2)


@given(NUMBERS, TEXTS, st.none() | TEXTS | SURROGATES)
def test_every_hit_keeps_to_the_grammar(ttl: int, detail: str, key: str | None) -> None:
    said = read(hit(ttl, detail, key))
    assert (said["hit"], said["ttl"], "key" in said) == (True, ttl, key is not None)
    if detail.isascii() and detail.isprintable():
        assert str(said["detail"]) == detail


@given(
    st.sampled_from(FORWARD_REASONS),
    st.none() | st.integers(100, 599),
    st.booleans(),
    st.booleans(),
    st.none() | NUMBERS,
    st.none() | TEXTS,
    st.none() | TEXTS,
)
def test_every_forwarding_keeps_to_the_grammar(
    reason: str,
    fwd_status: int | None,
    stored: bool,
    collapsed: bool,
    ttl: int | None,
    key: str | None,
    detail: str | None,
) -> None:
    said = read(
        forwarded(
            reason,
            fwd_status=fwd_status,
            stored=stored,
            collapsed=collapsed,
            ttl=ttl,
            key=key,
            detail=detail,
        )
    )
    assert str(said.pop("fwd")) == reason
    assert (said.pop("stored", False), said.pop("collapsed", False)) == (stored, collapsed)
    assert (said.pop("fwd-status", None), said.pop("ttl", None)) == (fwd_status, ttl)
    assert ("key" in said, "detail" in said) == (key is not None, bool(detail))


def test_the_cache_names_itself_first() -> None:
    """RFC 9211 §2: the member's value identifies the cache."""
    assert hit(1, "memory").split(b";")[0].decode() == CACHE_NAME
