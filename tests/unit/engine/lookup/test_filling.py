"""Filling: each hole gets the piece of its own name and arguments, and the headers are true of the whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.engine.lookup.filling import FillError, fill, is_current
from cachemw.engine.model.holes import Filling, Hole
from cachemw.http.fields import Fields
from cachemw.http.messages import Request

REQUEST = Request(
    method="GET", scheme="http", mount="", path="/", raw_path=b"/", query=b"", headers=Fields([])
)


def engine(**fills: Any) -> Any:
    return SimpleNamespace(fills=fills)


def test_holes_of_one_name_are_filled_by_one_call_and_equal_ones_alike() -> None:
    calls: list[str] = []

    def numbered(name: str) -> Any:
        def fill_one(request: Request) -> Filling:
            calls.append(name)
            return Filling(text=lambda *given: f"<{name}{''.join(given)}{len(calls)}>".encode())

        return fill_one

    holes = [Hole(0, "a"), Hole(1, "b"), Hole(1, "a", ("x",)), Hole(2, "a")]
    filled = fill(engine(a=numbered("a"), b=numbered("b")), [], b"12", holes, REQUEST)
    assert filled.body == b"<a1>1<b2><ax2>2<a1>"
    assert calls == ["a", "b"]


def test_what_is_not_true_of_a_filled_response_is_replaced() -> None:
    stored = [
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"2"),
        (b"content-type", b"text/html"),
        (b"etag", b'"1"'),
        (b"last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    ]
    own = ((b"set-cookie", b"own=1"),)
    filled = fill(
        engine(a=lambda request: Filling(text=lambda: b"piece", headers=own)),
        stored,
        b"12",
        [Hole(1, "a")],
        REQUEST,
    )
    assert filled.headers == [(b"content-type", b"text/html"), (b"content-length", b"7"), *own]


def test_the_error_names_the_holes_and_says_what_was_raised() -> None:
    holes = [Hole(0, "b"), Hole(0, "a"), Hole(0, "b")]
    with pytest.raises(FillError) as caught:
        fill(engine(), [], b"", holes, REQUEST)
    assert str(caught.value) == "cannot fill a, b: KeyError('b')"
    assert isinstance(caught.value.__cause__, KeyError)


def with_state(state: bytes | None) -> Any:
    return engine(a=lambda request: Filling(text=lambda: b"x", state=state))


def test_an_entity_tag_is_the_same_in_every_release() -> None:
    # Clients keep it for long. If it must change, that costs each of them one whole answer.
    stored = [(b"x", b"y"), (b"etag", b'"1"'), (b"etag", b'"2"')]
    filled = fill(with_state(b"ann"), stored, b"", [Hole(0, "a")], REQUEST)
    assert filled.headers[-1] == (b"etag", b'W/"e0c12a3e0f509080b91de85f3bd790"')


@pytest.mark.parametrize(
    ("condition", "current"),
    [
        ([], False),
        ([(b"if-none-match", b"TAG")], True),
        ([(b"if-none-match", b'"other", TAG')], True),
        ([(b"if-none-match", b'"other"'), (b"if-none-match", b"TAG")], True),
        ([(b"if-none-match", b'"other"')], False),
        ([(b"if-none-match", b"*")], False),
        ([(b"if-modified-since", b"Sun, 06 Nov 2094 08:49:37 GMT")], False),
    ],
)
def test_only_its_own_tag_says_that_a_client_has_it(
    condition: list[tuple[bytes, bytes]], current: bool
) -> None:
    stored = [(b"x", b'"other"'), (b"etag", b'"1"'), (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")]
    filled = fill(with_state(b"ann"), stored, b"", [Hole(0, "a")], REQUEST)
    tag = dict(filled.headers)[b"etag"]
    headers = Fields([(name, value.replace(b"TAG", tag)) for name, value in condition])
    assert is_current(replace(REQUEST, headers=headers), filled) is current


def test_without_a_state_nothing_is_current() -> None:
    filled = fill(with_state(None), [(b"etag", b'"1"')], b"", [Hole(0, "a")], REQUEST)
    headers = Fields([(b"if-none-match", b'"1"')])
    assert not is_current(replace(REQUEST, headers=headers), filled)
