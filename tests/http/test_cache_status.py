"""The Cache-Status field (RFC 9211), read back by the grammar of structured fields."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_status import CACHE_NAME, forwarded, hit

TOKEN = r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*"  # RFC 8941 §3.3.4
MEMBER = re.compile(rf"{TOKEN}(?:; ?[a-z*][a-z0-9_.*-]*(?:=(?:-?\d{{1,15}}|{TOKEN}))?)*")
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
]


@pytest.mark.parametrize(("written", "expected"), WRITTEN)
def test_the_field_says_what_was_done(written: bytes, expected: bytes) -> None:
    assert written == expected


@given(
    st.integers(-(2**31), 2**31),
    st.sampled_from(FORWARD_REASONS),
    st.booleans(),
    st.from_regex(TOKEN, fullmatch=True) | st.none(),
)
def test_every_member_keeps_to_the_grammar(
    ttl: int, reason: str, stored: bool, detail: str | None
) -> None:
    assert MEMBER.fullmatch(hit(ttl, detail or "memory").decode("ascii"))
    assert MEMBER.fullmatch(forwarded(reason, stored=stored, detail=detail).decode("ascii"))


def test_the_cache_names_itself_first() -> None:
    """RFC 9211 §2: the member's value identifies the cache."""
    assert hit(1, "memory").split(b";")[0].decode() == CACHE_NAME
