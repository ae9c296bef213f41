"""The log, the leases and the faults on other servers than the wheel's Valkey, and over TLS.

What differs between servers is tested here: commands and the shape of their answers, error texts, failover,
and how connections break. The tests are those of `tests/redis`, in a process whose environment names
another server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .programs import program, redis_6_2

ROOT = Path(__file__).parents[3]
FAULTS = ["tests/redis/faults"]
CHOSEN = [
    *FAULTS,
    *("tests/redis/test_leases.py", "tests/redis/test_log_lost.py", "tests/redis/test_purging.py"),
    *("tests/redis/test_log_rewound.py", "tests/redis/test_cut_off.py"),
    *("tests/redis/test_flags_away.py", "tests/redis/test_away_and_back.py"),
    *("tests/redis/test_rollout.py", "tests/redis/test_inspection.py"),
    *("tests/redis/test_failure_lines.py", "tests/redis/test_server.py"),
]
SECONDS = 300


def run_tests(tests: list[str], server: str, **environment: str) -> None:
    """Run tests of `tests/redis` with another server. A failure shows the end of what they printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", *tests]
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, "CACHEMW_TEST_SERVER": server, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]


@pytest.mark.timeout(SECONDS)
def test_redis_6_2_is_as_good_as_the_newest_server() -> None:
    run_tests(CHOSEN, redis_6_2())


@pytest.mark.timeout(SECONDS)
def test_redis_of_debian_is_as_good_as_the_newest_server() -> None:
    run_tests(CHOSEN, program("redis-server"))


@pytest.mark.timeout(SECONDS)
def test_the_faults_are_no_worse_over_tls() -> None:
    program("openssl")
    run_tests(FAULTS, program("redis-server"), CACHEMW_TEST_TLS="1")
