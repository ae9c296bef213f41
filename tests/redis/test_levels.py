"""The levels of log lines are live flags: they hold in every process, and go back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.caches import Caches, options
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
PATH = "/things/7"


@contextmanager
def speaking(url: str) -> Iterator[subprocess.Popen[str]]:
    """Run one more process, whose request lines can be counted."""
    command = [sys.executable, "-m", "tests.redis.speaking", json.dumps(options(url))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "live\n"
            yield process
        finally:
            process.kill()


def lines_after(process: subprocess.Popen[str], path: str = PATH) -> int:
    """Ask once, and give how many request lines there were in all."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(path + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def test_a_level_holds_in_every_process_within_a_second_and_goes_back(caches: Caches) -> None:
    cache = caches.make()
    with speaking(caches.url) as one, speaking(caches.url) as two:
        assert [lines_after(each) for each in (one, two, one, two)] == [0, 0, 0, 0]
        began = time.monotonic()
        assert cache.flags.set({"level:low": "debug"})
        for process in (one, two):
            until(lambda process=process: lines_after(process) > 0)  # type: ignore[misc]
        assert time.monotonic() - began < 1.0
        assert cache.flags.set({"level:low": "default"})
        for process in (one, two):
            until(lambda process=process: lines_after(process) == lines_after(process))  # type: ignore[misc]
