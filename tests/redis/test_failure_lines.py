"""The log lines of a Redis that fails: where it is, and what it does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing

import pytest
from redis import Redis

from cachemw import Cache
from cachemw.config.redis_settings import RedisSettings
from cachemw.connections.failures import describe_failure
from cachemw.connections.nodes import Nodes
from cachemw.errors import StoreUnavailable
from cachemw.stores.redis.commands import Commands
from cachemw.telemetry.logs import Logs
from cachemw.testing import RedisServer
from cachemw.testing.replicated import _Sentinel
from cachemw.testing.server import free_port
from tests.support.caches import options
from tests.support.waiting import until

SECRET = "hunter2"


def test_the_first_line_names_redis_its_address_and_the_error(
    own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    # Guard: `hooks.failed` in `RedisLog._disconnected`, before the breaker opens.
    address = own_redis_server.url.removeprefix("redis://")
    with closing(Redis.from_url(own_redis_server.url)) as client:
        client.config_set("requirepass", "right")
    cache = Cache.from_dict(options(f"redis://:{SECRET}@{address}"))
    with caplog.at_level(logging.WARNING, "cachemw"), closing(cache):
        cache.start()
        until(lambda: len(caplog.messages) >= 2)
    first, second = caplog.messages[:2]
    assert first.startswith(f"event=redis_error redis=redis://:***@{address} error=")
    assert "refuses the user name or the password" in first
    assert second == f"event=breaker_opened redis=redis://:***@{address}"
    assert SECRET not in caplog.text


def first_line(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """Return the error of the first line of a cache that cannot follow its log."""
    cache = Cache.from_dict(options(url))
    with caplog.at_level(logging.WARNING, "cachemw"), closing(cache):
        cache.start()
        until(lambda: caplog.messages)
    line = caplog.messages[0]
    assert line.startswith("event=redis_error redis=")
    assert SECRET not in caplog.text
    return line


def refused(port: int) -> str:
    return f"127.0.0.1:{port} cannot be reached: connection refused"


@pytest.fixture
def locked(own_redis_server: RedisServer) -> RedisServer:
    """Return a server that wants the password "right"."""
    own_redis_server.command("CONFIG", "SET", "requirepass", "right")
    return own_redis_server


@pytest.fixture
def sentinel(own_redis_server: RedisServer) -> Iterator[RedisServer]:
    """Yield a Sentinel that names a server "main"."""
    with _Sentinel(own_redis_server.port) as one:
        yield one


def test_servers_that_were_never_found_are_named_with_each_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Guard: `failures.add` where a Sentinel or a node is asked.
    ports = sorted(free_port() for _ in range(2))
    hosts = ",".join(f"127.0.0.1:{each}" for each in ports)
    line = first_line(f"redis+sentinel://:{SECRET}@{hosts}/main", caplog)
    assert f"Sentinel 127.0.0.1:{ports[0]} and {refused(ports[1])}" in line
    caplog.clear()
    line = first_line(f"redis+cluster://:{SECRET}@{hosts}", caplog)
    assert f"node 127.0.0.1:{ports[0]} and {refused(ports[1])}" in line


def test_a_sentinel_that_knows_no_such_master_says_so(
    sentinel: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    line = first_line(f"redis+sentinel://127.0.0.1:{sentinel.port}/other", caplog)
    assert (
        f"no master called 'other' is known: Sentinel 127.0.0.1:{sentinel.port} knows none" in line
    )


def test_a_sentinel_that_refuses_a_password_says_which(
    sentinel: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    sentinel.command("ACL", "SETUSER", "default", "resetpass", ">right")
    at = f"127.0.0.1:{sentinel.port}"
    line = first_line(f"redis+sentinel://{at}/main?sentinel_password={SECRET}", caplog)
    assert f"Sentinel {at} refuses the user name or the password" in line
    assert "?sentinel_password=" in line.partition(" error=")[2]


def test_a_master_that_refuses_a_password_is_named(
    sentinel: RedisServer, locked: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    line = first_line(f"redis+sentinel://:{SECRET}@127.0.0.1:{sentinel.port}/main", caplog)
    assert f"master 127.0.0.1:{locked.port} refuses the user name or the password" in line


def test_a_master_that_is_away_is_named(
    sentinel: RedisServer, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis_server.kill()
    line = first_line(f"redis+sentinel://127.0.0.1:{sentinel.port}/main", caplog)
    assert f"master {refused(own_redis_server.port)}" in line


def test_a_command_that_the_master_forbids_is_named(
    sentinel: RedisServer, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis_server.command("ACL", "SETUSER", "default", "-role")
    line = first_line(f"redis+sentinel://127.0.0.1:{sentinel.port}/main", caplog)
    told = f"master 127.0.0.1:{own_redis_server.port} does not allow this user the command ROLE"
    assert told in line


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis+cluster://127.0.0.1:{port}", "is no node of a Cluster: write redis://"),
        ("redis://127.0.0.1:{port}/999", "has no database of this number"),
        (
            "rediss://127.0.0.1:{port}/0",
            "does the server speak TLS (rediss://), or not (redis://)?",
        ),
        ("redis+sentinel://127.0.0.1:{port}/main", "does not know a command"),
        ("redis://nobody.invalid:{port}/0", "its host name is not known here"),
    ],
    ids=["no-cluster", "no-database", "no-tls", "no-sentinel", "no-name"],
)
def test_what_a_server_is_not_is_said(
    own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture, url: str, error: str
) -> None:
    assert error in first_line(url.format(port=own_redis_server.port), caplog)


def test_a_failure_that_lasts_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    # Guards: `_warn_once`, and `_disconnected` at each attempt, with the same words for the same failure.
    errors = list[str]()
    now = [1000.0]
    logs = Logs(clock=lambda: now[0])
    ports = [free_port() for _ in range(3)]
    hosts = ",".join(f"127.0.0.1:{each}" for each in ports)
    nodes = Nodes(RedisSettings(url=f"redis+cluster://{hosts}"))
    with caplog.at_level(logging.WARNING, "cachemw"):
        for _ in range(180):
            with pytest.raises(StoreUnavailable) as caught:
                nodes.locate()
            errors.append(describe_failure(caught.value))
            logs.redis_error("redis+cluster://", errors[-1])
            now[0] += 1.0
    assert len(set(errors)) == 1
    assert len(caplog.messages) == 3


def test_a_server_that_stays_away_is_told_each_time_that_it_is_tried() -> None:
    # Guard: `Nodes._ping`. Of a Cluster, only the server with the log is followed.
    told: list[str] = []
    now = [0.0]
    nodes = Nodes(RedisSettings(url=f"redis://127.0.0.1:{free_port()}"), lambda: now[0])
    nodes.failed = lambda error, server: told.append(describe_failure(error))
    nodes.of(b"key").breaker.trip()
    followed = Nodes(nodes.config).of(b"log")
    for _ in range(3):
        now[0] += 60.0
        nodes.probe(followed)
    assert told == [told[0]] * 3
    assert told[0].startswith("cannot be reached: connection refused")


def test_requests_tell_the_error_that_opens_the_breaker() -> None:
    # Guard: `_tell` in `Commands._failed`.
    errors: list[BaseException] = []

    def tell(error: BaseException, server: str) -> None:
        assert not server  # the URL names it
        errors.append(error)

    nodes = Nodes(RedisSettings(url=f"redis://127.0.0.1:{free_port()}", breaker_failures=2))
    commands = Commands(nodes, lambda event, reason: None, tell)
    for told in (0, 1, 1):
        with pytest.raises(StoreUnavailable):
            commands.run("get", b"key", "GET", b"key")
        assert len(errors) == told
    assert describe_failure(errors[0]).startswith("cannot be reached: connection refused")
