"""The log, the leases and the faults on other servers than the wheel's Valkey, and over TLS.

What differs between servers is tested here: commands and the shape of their answers, error texts, failover,
and how connections break. The tests are those of `tests/redis`, in a process whose environment names
another server.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cachemw import Cache
from cachemw.testing import RedisServer
from tests.support.caches import Site, options
from tests.support.waiting import until

from .programs import program, redis_5_0, redis_6_2

ROOT = Path(__file__).parents[3]
FAULTS = ["tests/redis/faults"]
NEWER = [
    *FAULTS,
    *("tests/redis/test_log_lost.py", "tests/redis/test_failure_lines.py"),
    *("tests/redis/test_versions.py", "tests/redis/test_permissions.py"),
]
OLDEST = [
    *NEWER,
    *(
        "tests/redis/test_leases.py",
        "tests/redis/test_purging.py",
        "tests/redis/test_flags_away.py",
    ),
    *("tests/redis/test_log_rewound.py", "tests/redis/test_rollout.py"),
]
"""More for the oldest server: it is the one that may lack a command, or a field of an answer."""
SECONDS = 300


# A loop that ends in the middle of a handshake of TLS leaves asyncio's transport to the garbage collector.
UNCLOSED = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning")


def run_tests(tests: list[str], server: str, **environment: str) -> None:
    """Run tests of `tests/redis` with another server. A failure shows the end of what they printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", *tests]
    if "CACHEMW_TEST_TLS" in environment:
        # What one hung request waits is measured over TCP: here the handshakes take longer than that.
        command += [*UNCLOSED, "--ignore=tests/redis/faults/test_one_deadline.py"]
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
    run_tests(OLDEST, redis_6_2())


@pytest.mark.timeout(SECONDS)
def test_redis_of_debian_is_as_good_as_the_newest_server() -> None:
    run_tests(NEWER, program("redis-server"))


@pytest.mark.timeout(SECONDS)
def test_the_faults_are_no_worse_over_tls() -> None:
    program("openssl")
    run_tests(FAULTS, program("redis-server"), CACHEMW_TEST_TLS="1")


def test_a_real_old_server_is_named_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # It does not know HELLO, and refuses NOMKSTREAM: every purge was one of everything.
    with RedisServer(program=redis_5_0(tmp_path), tls=False) as server:
        site = Site(Cache.from_dict(options(server.url)))
        with caplog.at_level(logging.WARNING, "cachemw"), closing(site.cache):
            site.cache.start()
            until(lambda: caplog.messages)
            assert site.get("/things/7").status == 200
            result = site.cache.purge(tags=["thing:7"])
            assert (result.status, result.everything) == ("queued", False)
            assert not site.cache.flags.set(low="off")
        assert server.command("KEYS", "*") == []
    assert "Redis 5.0.6 is too old: cachemw needs Redis 6.2 or later" in caplog.messages[0]
