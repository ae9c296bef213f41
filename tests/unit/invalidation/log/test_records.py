"""The log's records and numbers: written and read alike, ordered as the log is, careful with the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.invalidation.floors import LOCAL_BITS
from cachemw.invalidation.log.records import (
    FlagsRecord,
    flag_fields,
    number,
    purge_fields,
    read_record,
    stream_id,
)
from cachemw.invalidation.purges import Purge

EVERYTHING = Purge(tags=None)


def as_read(fields: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


TAGS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


@given(st.none() | st.lists(TAGS).map(tuple), st.booleans())
def test_a_purge_is_read_as_it_was_written(tags: tuple[str, ...] | None, soft: bool) -> None:
    purge = Purge(tags=tags, soft=soft)
    assert read_record(as_read(purge_fields(purge))) == purge


@given(st.binary())
def test_flags_are_read_as_they_were_written(document: bytes) -> None:
    assert read_record(as_read(flag_fields(document))) == FlagsRecord(document)


UNREADABLE: list[Any] = [
    pytest.param({}, id="nothing in it"),
    pytest.param({b"s": b"1"}, id="no kind"),
    pytest.param({b"k": b"graph", b"s": b"1", b"v": b"[]"}, id="a kind of a newer release"),
    pytest.param({b"k": b"tags", b"s": b"1"}, id="no tags"),
    pytest.param({b"k": b"tags", b"s": b"1", b"v": b"["}, id="no JSON"),
    pytest.param({b"k": b"tags", b"v": b"\xff"}, id="no text"),
    pytest.param({b"k": b"tags", b"v": b'"a"'}, id="no list"),
    pytest.param({b"k": b"tags", b"v": b"[1]"}, id="no list of texts"),
    pytest.param({b"k": b"tags", b"v": b"[" * 100_000}, id="a list without end"),
    pytest.param({b"k": b"flags"}, id="flags without a document"),
    pytest.param(None, id="no fields"),
    pytest.param([b"k", b"all"], id="not a mapping"),
]


@pytest.mark.parametrize("fields", UNREADABLE)
def test_what_cannot_be_read_purges_everything_hard(fields: Any) -> None:
    """I5: what a record meant is not known, and losing entries is the safe reading."""
    assert read_record(fields) == EVERYTHING


@pytest.mark.parametrize("flag", [b"0", b"", b"yes", b"2"])
def test_a_purge_is_soft_only_if_it_says_so(flag: bytes) -> None:
    assert read_record({b"k": b"all", b"s": flag}) == EVERYTHING
    assert read_record({b"k": b"all"}) == EVERYTHING


NAMES = st.sampled_from([b"k", b"s", b"v"])
VALUES = st.binary(max_size=12) | st.sampled_from([b"tags", b"all", b"flags", b"1", b'["a"]'])


@given(st.dictionaries(NAMES, VALUES))
def test_no_record_raises(fields: dict[bytes, bytes]) -> None:
    assert isinstance(read_record(fields), Purge | FlagsRecord)


# Numbers ------------------------------------------------------------------------------------------

IDS = st.tuples(st.integers(0, 2**63), st.integers(0, 2**48 - 1))
"""A sequence has 64 bits, of which a server that adds a record a nanosecond fills 48 in three days
of a clock that stands still."""


@given(IDS)
def test_a_stream_id_is_read_back_from_its_number(pair: tuple[int, int]) -> None:
    text = f"{pair[0]}-{pair[1]}"
    assert stream_id(number(text)) == text
    assert number(text.encode()) == number(text)


@given(IDS, IDS)
def test_numbers_order_as_the_log_does(first: tuple[int, int], second: tuple[int, int]) -> None:
    a, b = (number(f"{ms}-{sequence}") for ms, sequence in (first, second))
    assert (a < b) is (first < second)
    assert (a == b) is (first == second)


@given(IDS.filter(lambda pair: pair[1] + 1 < 2**48), st.integers(1, LOCAL_BITS))
def test_local_purges_fit_between_two_records(pair: tuple[int, int], local: int) -> None:
    record = number(f"{pair[0]}-{pair[1]}")
    assert record & LOCAL_BITS == 0
    assert stream_id(record + local) == stream_id(record)
    assert record + local < number(f"{pair[0]}-{pair[1] + 1}")


def test_an_id_without_a_sequence_is_the_first_of_its_millisecond() -> None:
    assert number("5") == number("5-0")
