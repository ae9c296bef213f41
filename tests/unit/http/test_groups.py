"""Groups of stored responses (RFC 9875)."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.fields import Fields
from cachemw.http.groups import groups, invalidated_groups

NAMED = [
    pytest.param([], (), id="9875 2 no field"),
    pytest.param([b""], (), id="9875 2 an empty field"),
    pytest.param([b'"scripts", "a b"'], ("scripts", "a b"), id="9875 2 a list of strings"),
    pytest.param([b'"a"', b'"b"'], ("a", "b"), id="9875 2 over lines"),
    pytest.param([b'"a";revalidate'], ("a",), id="9875 2 parameters are ignored"),
    pytest.param([b'"a", "A", "a"'], ("a", "A"), id="9875 2.1 each once, case counts"),
    pytest.param([b"a"], (), id="9875 2 a token is no string"),
    pytest.param([b'"a", 1'], (), id="9875 2 nor is a number"),
    pytest.param([b'"a'], (), id="9651 4.2 a slip"),
    pytest.param(
        [b'"%s", "%s"' % (b"x" * 32, b"y" * 33)], ("x" * 32,), id="9875 2 up to 32 characters"
    ),
    pytest.param([b'""'], ("",), id="9651 3.3.3 an empty string is one"),
]


@pytest.mark.parametrize(("lines", "expected"), NAMED)
def test_the_groups_that_are_named(lines: list[bytes], expected: tuple[str, ...]) -> None:
    assert groups(Fields([(b"cache-groups", line) for line in lines])) == expected
    invalidating = Fields([(b"cache-group-invalidation", line) for line in lines])
    assert invalidated_groups(invalidating) == expected


def test_one_field_is_not_the_other() -> None:
    assert groups(Fields([(b"cache-group-invalidation", b'"a"')])) == ()
    assert invalidated_groups(Fields([(b"cache-groups", b'"a"')])) == ()


def test_no_more_groups_than_every_cache_must_take() -> None:
    """RFC 9875 §2 and §3."""
    many = b", ".join(b'"%d"' % number for number in range(200))
    assert groups(Fields([(b"cache-groups", many)])) == tuple(map(str, range(32)))
    invalidated = invalidated_groups(Fields([(b"cache-group-invalidation", many)]))
    assert invalidated == tuple(map(str, range(128)))


def test_long_lists_are_read_and_take_no_memory() -> None:
    """I4. Fails where they are remembered as short ones are."""
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1_000):
            line = b", ".join(b'"%d %d %s"' % (number, other, b"x" * 20) for other in range(32))
            assert len(groups(Fields([(b"cache-groups", line)]))) == 32
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


@given(st.lists(st.binary(max_size=50), max_size=3))
def test_no_input_raises(lines: list[bytes]) -> None:
    fields = Fields([(b"cache-groups", line) for line in lines])
    assert all(len(name) <= 32 for name in groups(fields))
