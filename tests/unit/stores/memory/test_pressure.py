"""When memory is pressed, and how long entries are kept then."""

from __future__ import annotations

import pytest

from cachemw.stores.memory.pressure import FLOOR, Pressure, PressureLevel, kept_until

MEAN = 1000.0


def kept(
    size: int, level: PressureLevel, *, fresh: float = 3600.0, dies: float | None = None
) -> float:
    """Give the seconds that an entry of this size is kept, of so many that it is fresh for."""
    dies_at = 100.0 + (fresh if dies is None else dies)
    until = kept_until(100.0, 100.0 + fresh, dies_at, size=size, mean=MEAN, level=level)
    return until - 100.0


@pytest.mark.parametrize(
    ("size", "level", "seconds"),
    [
        (1_000_000, PressureLevel.NONE, 3600.0),
        (4_000, PressureLevel.WARNING, 3600.0),
        (8_000, PressureLevel.WARNING, 1800.0),
        (40_000, PressureLevel.WARNING, 360.0),
        (1_000, PressureLevel.ALERT, 3600.0),
        (2_000, PressureLevel.ALERT, 1800.0),
        (40_000, PressureLevel.ALERT, 90.0),
        (100_000_000, PressureLevel.ALERT, FLOOR),
    ],
)
def test_a_lifetime_is_scaled_by_size(size: int, level: PressureLevel, seconds: float) -> None:
    assert kept(size, level) == pytest.approx(seconds)


@pytest.mark.parametrize("fresh", [-50.0, 0.0, 3.0, FLOOR, 11.0])
def test_no_lifetime_falls_below_the_floor_and_none_becomes_longer(fresh: float) -> None:
    """Fails without the floor; and, where an entry ends before it, without the upper bound."""
    whole = max(fresh, 0.0)
    assert kept(10**9, PressureLevel.ALERT, fresh=fresh, dies=whole) == min(whole, FLOOR)
    assert kept(10**9, PressureLevel.ALERT, fresh=fresh, dies=60.0) == pytest.approx(FLOOR)


def levels(pressure: Pressure, *uses: int) -> list[str]:
    """Let the use go through these; gives what was said."""
    said = []
    for used in uses:
        change = pressure.step(used, 0, 0.0)
        if change:
            said.append(f"{change.level.name.lower()}{' over' if change.over else ''} {used}")
    return said


@pytest.mark.parametrize(
    ("used", "said"),
    [
        ((0, 699, 700, 899), ["warning 700"]),
        ((700, 899, 900, 1000), ["warning 700", "alert 900"]),
        ((950,), ["alert 950"]),
        ((700, 600, 700), ["warning 700"]),
        ((700, 599, 600), ["warning 700", "warning over 599"]),
        ((900, 650, 950, 599), ["alert 900", "alert over 599"]),
    ],
)
def test_an_episode_begins_rises_and_ends_once(used: tuple[int, ...], said: list[str]) -> None:
    assert levels(Pressure(1000), *used) == said


def test_its_end_says_what_it_cost() -> None:
    pressure = Pressure(1000)
    pressure.step(700, 40, 10.0)
    pressure.step(950, 45, 12.0)
    change = pressure.step(100, 52, 70.5)
    assert change is not None
    assert (change.level, change.shed, change.seconds) == (PressureLevel.ALERT, 12, 60.5)
