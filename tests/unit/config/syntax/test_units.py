"""Durations and sizes."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.config import duration, size

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
NONSENSE: list[object] = [
    True,
    False,
    None,
    -1,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "5",
    "5 s",
    " 5s",
    "5s\n",
    "-5s",
    "+5s",
    "5S",
    "5kib",
    "5KB",
    "1h30m",
    "1e3s",
    ".5s",
    "5.s",
    "\N{ARABIC-INDIC DIGIT FIVE}s",
    "nan",
    "infs",
    [5],
    {},
    b"5s",
    1j,
    10**400,
    "9" * 5000 + "s",
    "9" * 18 + "d",
    "9" * 18 + "TiB",
]


@given(st.integers(0, 24_000), st.sampled_from(sorted(SECONDS)))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    assert duration(f"{number}{unit}") == pytest.approx(number * SECONDS[unit])


@given(st.floats(0, 2**31))
def test_a_bare_duration_is_in_seconds(number: float) -> None:
    assert duration(number) == number
    assert type(duration(number)) is float


@given(st.integers(0, 2**20), st.sampled_from(sorted(BYTES)))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str) -> None:
    assert size(f"{number}{unit}") == number * BYTES[unit]


@given(st.integers(0, 2**63 - 1))
def test_a_bare_size_is_in_bytes(number: int) -> None:
    assert size(number) == number


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("1.5h", 5400.0), ("0s", 0.0), ("2d", 172800.0)]
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("1.5KiB", 1536), ("0B", 0), ("1GiB", 2**30)])
def test_sizes_as_people_write_them(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: repr(value)[:12])
def test_nonsense_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as "):
        duration(value)


@pytest.mark.parametrize("value", [*NONSENSE, 1.5, "5s"], ids=lambda value: repr(value)[:12])
def test_nonsense_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as "):
        size(value)


@given(
    st.one_of(
        st.text(), st.floats(), st.integers(), st.binary(), st.none(), st.lists(st.integers())
    )
)
def test_anything_is_read_or_refused_with_one_line(value: object) -> None:
    for read, largest in ((duration, 2**31), (size, sys.maxsize)):
        try:
            assert 0 <= read(value) <= largest
        except ValueError as error:
            message = str(error)
            assert "\n" not in message
            assert len(message) < 200
