"""Structured fields, as far as caching needs them (RFC 9651)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.structured import dictionary, strings

DICTIONARIES = [
    pytest.param([b"a=1, b"], {"a": 1, "b": True}, id="9651 3.2"),
    pytest.param([b"a=1", b"b=?0"], {"a": 1, "b": False}, id="9651 4.2 lines are one field"),
    pytest.param([b'a="x";p=1, b;p'], {"a": "x", "b": True}, id="9651 3.1.2 no parameters"),
    pytest.param([b"a=1, a=2"], {"a": 2}, id="9651 3.2 the last counts"),
    pytest.param([b""], {}, id="9651 3.2 empty"),
    pytest.param([b"a=1,"], {}, id="9651 4.2 a comma at the end"),
    pytest.param([b"A=1"], {}, id="9651 3.1.2 a capital"),
    pytest.param([b"a= 1"], {}, id="9651 4.2 a space"),
    pytest.param([b"a=1, &&&&&"], {}, id="9651 4.2 one slip is all"),
]


@pytest.mark.parametrize(("lines", "expected"), DICTIONARIES)
def test_a_dictionary(lines: list[bytes], expected: dict[str, Any]) -> None:
    assert dictionary(tuple(lines)) == expected


LISTS = [
    pytest.param([b'"a", "b"'], ("a", "b"), id="9651 3.1"),
    pytest.param([b'"a"', b'"b"'], ("a", "b"), id="9651 4.2 lines are one field"),
    pytest.param([b'"a";p=1, "a"'], ("a", "a"), id="9651 3.1.2 no parameters"),
    pytest.param([rb'"a\"\\"'], ('a"\\',), id="9651 3.3.3 escapes"),
    pytest.param([b""], (), id="9651 3.1 empty"),
    pytest.param([b'"a", b'], (), id="9651 3.1 a token among them"),
    pytest.param([b'"a", 1'], (), id="9651 3.1 a number among them"),
    pytest.param([b'("a" "b")'], (), id="9651 3.1.1 an inner list"),
    pytest.param([b'%"a"'], (), id="9651 3.3.8 a display string"),
    pytest.param([b'"a'], (), id="9651 4.2 a quote that never closes"),
    pytest.param([b'"\xc3\xa9"'], (), id="9651 3.3.3 ASCII only"),
]


@pytest.mark.parametrize(("lines", "expected"), LISTS)
def test_a_list_of_strings(lines: list[bytes], expected: tuple[str, ...]) -> None:
    assert strings(tuple(lines)) == expected


SIGNS = st.lists(
    st.sampled_from([b'"', b"a", b"=", b"1", b".", b"(", b")", b":", b"@", b"%", b"?0", b";"])
    | st.sampled_from([b",", b" ", b"\\", b"-", b"9" * 16, b"\t"])
).map(b"".join)


@given(st.lists(st.binary(max_size=20) | SIGNS, max_size=3))
def test_no_input_raises(lines: list[bytes]) -> None:
    dictionary(tuple(lines))
    assert all(isinstance(each, str) for each in strings(tuple(lines)))
