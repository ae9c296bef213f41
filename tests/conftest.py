"""Fixtures that every folder uses: a real server, shared by a worker's tests or owned by one test.

`CACHEMW_TEST_REDIS=redis://…` points the tests at another server (Redis itself, another version).
Its database is flushed before each test, so give it one of its own, and do not run in parallel.
Tests that break their server cannot break that one and are skipped.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol
from urllib.parse import unquote, urlsplit

import pytest

from cachemw.testing import FakeClock, RedisServer
from cachemw.testing import redis_protocol as resp

with suppress(ImportError):  # an environment without Hypothesis has no property to try
    from tests.support.examples import register

    register()


@pytest.fixture(autouse=True)
def state_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test a state folder of its own: no test writes into the user's, or reads another's flags."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


EXTERNAL = os.environ.get("CACHEMW_TEST_REDIS", "")


def pytest_configure() -> None:
    """Take SIGINT as a shell in the foreground leaves it, here and in the processes that tests start.

    A shell ignores SIGINT for what it runs in the background, and a child inherits that for good:
    tests that end a process by SIGINT would wait for ever.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Server(Protocol):
    """What tests that leave their server whole may use of it."""

    @property
    def url(self) -> str: ...

    def command(self, *args: str | bytes | int, timeout: float = 5.0) -> resp.Reply: ...


class ExternalServer:
    """The server that the environment names."""

    def __init__(self, url: str) -> None:
        self.url = url

    def command(self, *args: str | bytes | int, timeout: float = 5.0) -> resp.Reply:
        parts = urlsplit(self.url)
        with resp.connect_tcp(parts.hostname or "", parts.port or 6379, timeout) as connection:
            if parts.password:
                user = [unquote(parts.username)] if parts.username else []
                resp.call(connection, "AUTH", *user, unquote(parts.password))
            resp.call(connection, "SELECT", parts.path.strip("/") or 0)
            return resp.call(connection, *args)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """Yield one server for all tests of this worker; leave it as healthy as it was."""
    if EXTERNAL:
        yield ExternalServer(EXTERNAL)
        return
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """Return the URL of an empty database."""
    redis_server.command("FLUSHDB" if EXTERNAL else "FLUSHALL")
    return redis_server.url


@pytest.fixture
def age_log(redis_server: Server) -> Callable[[str], None]:
    """Return a function that gives a namespace a log which began a minute ago.

    One that has only just begun may have been lost, and confirms no purges for some seconds.
    """

    def age(namespace: str) -> None:
        began = f"{int(time.time() - 60) * 1000}-0"
        log = f"cachemw:{{{namespace}}}:"
        redis_server.command("XADD", log + "log", began, "k", "all", "s", "0")
        redis_server.command("SET", log + "epoch", b"agedlog!")

    return age


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """Yield a server that the test may kill, hang and fill."""
    if EXTERNAL:
        pytest.skip("CACHEMW_TEST_REDIS names a server that tests must not break")
    with RedisServer() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
