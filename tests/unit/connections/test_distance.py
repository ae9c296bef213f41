"""What a round trip asks of the deadline."""

from __future__ import annotations

import pytest

from cachemw.connections.distance import advice


@pytest.mark.parametrize("round_trip", [None, 0.0003, 0.02, 0.034])
def test_a_round_trip_that_fits_needs_no_advice(round_trip: float | None) -> None:
    assert advice(round_trip, 0.05) == ""


@pytest.mark.parametrize(
    ("round_trip", "deadline", "set_to"),
    [(0.0401, 0.05, '"110ms"'), (0.06, 0.05, '"150ms"'), (0.2, 0.25, '"500ms"')],
)
def test_a_round_trip_that_does_not_fit_says_what_to_set(
    round_trip: float, deadline: float, set_to: str
) -> None:
    said = advice(round_trip, deadline)
    assert f"takes {round_trip * 1000:.0f} ms" in said
    assert said.endswith(f"to at least {set_to}")
