"""Cutting and filling: what is cut out comes back where it was, and nothing of it stays (I1)."""

from __future__ import annotations

import gzip
import random
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.keeping.cutting import cut
from cachemw.engine.lookup.filling import FillError, fill
from cachemw.engine.model.holes import NONCE, Filling, Piece
from cachemw.http.fields import Fields
from cachemw.http.messages import Head, Request

LIMIT = 1 << 20
REQUEST = Request(
    method="GET", scheme="http", mount="", path="/", raw_path=b"/", query=b"", headers=Fields([])
)


def head(*pairs: tuple[bytes, bytes]) -> Head:
    return Head(status=200, headers=Fields(list(pairs)))


def piece(text: bytes, *arguments: str, **more: Any) -> Piece:
    return Piece(text=text, name="a", arguments=arguments, **more)


def filled(parts: Any, fill_one: Any) -> bytes:
    engine: Any = SimpleNamespace(fills={"a": fill_one})
    return fill(engine, parts.head.headers.pairs, parts.body, parts.holes, REQUEST).body


# Texts of few letters, in few letters: as many accidents as there can be.
letters = st.text("ab", max_size=40).map(str.encode)
texts = st.lists(st.text("ab", min_size=1, max_size=6).map(str.encode), min_size=1, max_size=4)


@given(st.lists(letters, min_size=1, max_size=8), texts, st.data())
def test_what_is_cut_out_comes_back_where_it_was(
    between: list[bytes], given_texts: list[bytes], data: st.DataObject
) -> None:
    body = between[0]
    for part in between[1:]:
        body += data.draw(st.sampled_from(given_texts)) + part
    pieces = [piece(text, str(number)) for number, text in enumerate(given_texts)]
    parts = cut(head(), body, pieces, LIMIT)
    if parts is None:
        return

    def same(request: Request) -> Filling:
        return Filling(text=lambda number: given_texts[int(number)])

    assert filled(parts, same) == body
    assert [hole.at for hole in parts.holes] == sorted(hole.at for hole in parts.holes)
    assert len(parts.body) + sum(len(given_texts[int(h.arguments[0])]) for h in parts.holes) == len(
        body
    )


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200))
def test_a_text_that_is_like_no_other_is_cut_out_wherever_it_is(
    before: bytes, between: bytes, after: bytes
) -> None:
    token = b"cachemw-hole-0123456789abcdef0123456789abcdef"
    body = token.join([before, between, after])
    parts = cut(head(), body, [piece(token)], LIMIT)
    assert parts is not None
    assert parts.body == before + between + after
    assert filled(parts, lambda request: Filling(text=lambda: b"<b>1</b>")) == body.replace(
        token, b"<b>1</b>"
    )


@given(st.binary(max_size=300))
def test_any_bytes_that_say_they_are_gzip(noise: bytes) -> None:
    parts = cut(head((b"content-encoding", b"gzip")), noise, [piece(b"token")], LIMIT)
    assert parts is None or b"token" in gzip.decompress(noise)


BROKEN = {
    "cut": gzip.compress(b"token")[:-1],
    "with more behind it": gzip.compress(b"token") + b"x",
    "two in one": gzip.compress(b"token") + gzip.compress(b"token"),
    "too large": gzip.compress(b"token" + b"x" * 2000),
    "not at all": b"token",
    "in another format": zlib.compress(b"token"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_gzip_that_is_broken_or_grows_too_large(way: str) -> None:
    assert cut(head((b"content-encoding", b"gzip")), BROKEN[way], [piece(b"token")], 1000) is None


def test_gzip_of_any_size_is_unpacked() -> None:
    far = random.Random(1).randbytes(20_000)
    for coding in (b"gzip", b"x-gzip", b"GZIP"):
        parts = cut(
            head((b"content-encoding", coding)),
            gzip.compress(far + b"token" + far),
            [piece(b"token")],
            LIMIT,
        )
        assert parts is not None
        assert (parts.body, list(parts.head.headers.pairs)) == (far + far, [])


@pytest.mark.parametrize(("limit", "fits"), [(999, False), (1000, True), (1001, True)])
def test_gzip_is_unpacked_up_to_the_limit(limit: int, fits: bool) -> None:
    body = gzip.compress(b"token" + b"x" * 995)
    parts = cut(head((b"content-encoding", b"gzip")), body, [piece(b"token")], limit)
    assert (parts is not None) is fits


@pytest.mark.parametrize(
    "name", ["content-digest", "content-length", "content-md5", "digest", "repr-digest"]
)
def test_headers_that_are_about_the_bytes_are_dropped(name: str) -> None:
    kept = [(b"content-type", b"text/html"), (b"etag", b'"1"')]
    parts = cut(head((name.encode(), b"7"), *kept), b"a token", [piece(b"token")], LIMIT)
    assert parts is not None
    assert list(parts.head.headers.pairs) == kept


def test_the_cookies_of_pieces_are_dropped_and_no_others() -> None:
    kept = [(b"set-cookie", b"other=1"), (b"set-cookie", b"=1"), (b"x-own", b"own=1")]
    own = [(b"set-cookie", b"own=1; Path=/"), (b"set-cookie", b" own =2")]
    pieces = [piece(b"token", cookie=b"own"), piece(b"more")]
    parts = cut(head(*own, *kept), b"more of a token", pieces, LIMIT)
    assert parts is not None
    assert list(parts.head.headers.pairs) == kept


def test_a_piece_without_a_text_is_at_the_end() -> None:
    parts = cut(head((b"x", b"y")), b"a token", [piece(b"", "1"), piece(b"token", "2")], LIMIT)
    assert parts is not None
    assert [(hole.at, hole.arguments) for hole in parts.holes] == [(2, ("2",)), (2, ("1",))]


def test_a_nonce_leaves_a_hole_behind_the_body_too() -> None:
    nonce = Piece(text=b"abc", name=NONCE, arguments=("0",), required=False)
    for pieces in ([nonce], [piece(b"token"), nonce]):
        parts = cut(head(), b"a token, abc and more", pieces, LIMIT)
        assert parts is not None
        assert (parts.holes[-1].at, parts.holes[-1].arguments) == (len(parts.body), ("",))
        assert parts.holes[-2].name == NONCE


def test_pieces_that_share_bytes_are_not_followed() -> None:
    assert cut(head(), b"abcde", [piece(b"abc"), piece(b"cde")], LIMIT) is None


def test_what_is_not_needed_may_be_missing() -> None:
    assert cut(head(), b"a token", [piece(b"other")], LIMIT) is None
    parts = cut(head(), b"a token", [piece(b"token"), piece(b"other", required=False)], LIMIT)
    assert parts is not None
    assert (parts.body, len(parts.holes)) == (b"a ", 1)


def test_a_function_that_is_not_there_or_raises_is_named() -> None:
    parts = cut(head(), b"a token", [piece(b"token")], LIMIT)
    assert parts is not None
    engine: Any = SimpleNamespace(fills={})
    with pytest.raises(FillError, match="cannot fill a"):
        fill(engine, [], parts.body, parts.holes, REQUEST)
    with pytest.raises(FillError, match="ZeroDivisionError"):
        filled(parts, lambda request: 1 // 0)


def test_the_entity_tag_depends_on_the_state_of_the_client() -> None:
    parts = cut(head((b"etag", b'"1"')), b"a token", [piece(b"token")], LIMIT)
    assert parts is not None

    def tag(state: bytes | None, stored: bytes = b'"1"') -> bytes | None:
        engine: Any = SimpleNamespace(
            fills={"a": lambda request: Filling(text=lambda: b"x", state=state)}
        )
        answer = fill(engine, [(b"etag", stored)], parts.body, parts.holes, REQUEST)
        return dict(answer.headers).get(b"etag")

    assert tag(b"ann") == tag(b"ann") != tag(b"bob")
    assert tag(b"ann") != tag(b"ann", b'"2"')
    assert (tag(b"ann") or b"").startswith(b'W/"')
    assert tag(None) is None
