"""The clocks of the operating system."""

from __future__ import annotations

import time

import pytest

from cachemw.process.clock import SystemClock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the system has no such clock")
def test_the_clock_of_lifetimes_goes_on_while_the_machine_is_suspended() -> None:
    # Guard: `_time_since_boot`. A machine that wakes up would trust its memory as if it had not slept.
    clock = SystemClock.monotonic
    before, here, after = (
        time.clock_gettime(time.CLOCK_BOOTTIME),
        clock(),
        time.clock_gettime(time.CLOCK_BOOTTIME),
    )
    assert before <= here <= after
    assert getattr(clock, "args", ()) == (time.CLOCK_BOOTTIME,)
