"""What repeats is kept once, what does not is not kept, and the tables have an end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.model.entry import HeaderPairs
from cachemw.stores.memory import interning
from cachemw.stores.memory.interning import TABLE_CAP, intern_pairs, is_shared_name, own_pairs


@pytest.fixture(autouse=True)
def fresh_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interning, "_pairs", {})
    monkeypatch.setattr(interning, "_names", {})
    monkeypatch.setattr(interning, "_seen_once", set())


def pairs(*lines: str) -> HeaderPairs:
    """Return pairs of which every object is new."""
    return tuple(
        (name.encode(), value.encode())
        for name, _, value in (line.partition(":") for line in lines)
    )


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=6).map(tuple))
def test_equal_pairs_come_back_in_order(given_pairs: HeaderPairs) -> None:
    assert intern_pairs(given_pairs) == given_pairs


def test_a_pair_is_shared_from_its_second_sighting_on() -> None:
    first, second, third = (intern_pairs(pairs("a:1"))[0] for _ in range(3))
    assert own_pairs((first, second, third)) == [first]
    assert second is third


def test_names_are_shared_from_the_first() -> None:
    first, second = intern_pairs(pairs("etag:1", "etag:2"))
    assert first[0] is second[0]
    assert is_shared_name(first[0])


def test_what_an_entry_holds_never_becomes_shared_later() -> None:
    own = pairs("a:1")[0]
    for _ in range(3):
        intern_pairs((own,))
    assert own_pairs((own,)) == [own]
    assert not is_shared_name(own[0])


def test_values_that_never_repeat_do_not_get_in() -> None:
    for number in range(3 * interning.SEEN_CAP):
        intern_pairs(pairs(f"etag:{number}"))
    assert not interning._pairs
    assert len(interning._seen_once) <= interning.SEEN_CAP


def test_the_tables_have_an_end() -> None:
    rng = random.Random(1)
    for _ in range(2 * TABLE_CAP):
        line = f"x-{rng.getrandbits(64)}:{rng.getrandbits(64)}"
        intern_pairs(pairs(line))
        intern_pairs(pairs(line))
    assert len(interning._pairs) == TABLE_CAP
    assert len(interning._names) == TABLE_CAP
    assert intern_pairs(pairs("new:1")) == pairs("new:1")


def test_long_values_are_left_alone() -> None:
    long = pairs("a:" + "v" * 300)
    assert intern_pairs(long)[0] is long[0]
    assert intern_pairs(long)[0] is long[0]
    assert not interning._names
