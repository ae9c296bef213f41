"""The log lines of a Redis that fails: where it is, and what it does."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest
from redis import Redis

from cachemw import Cache
from cachemw.config.redis_settings import RedisSettings
from cachemw.connections.failures import describe_failure
from cachemw.connections.nodes import Nodes
from cachemw.errors import StoreUnavailable
from cachemw.stores.redis.commands import Commands
from cachemw.testing import RedisServer
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


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis+sentinel://127.0.0.1:1/main", "no Sentinel that answers knows a master"),
        ("redis+cluster://127.0.0.1:1", "no node of the Cluster answers"),
    ],
)
def test_servers_that_were_never_found_are_named_too(
    url: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache.from_dict(options(url))
    with caplog.at_level(logging.WARNING, "cachemw"), closing(cache):
        cache.start()
        until(lambda: caplog.messages)
    assert caplog.messages[0].startswith(f"event=redis_error redis={url} error=")
    assert error in caplog.messages[0]


def test_requests_tell_the_error_that_opens_the_breaker() -> None:
    # Guard: `_tell` in `Commands._failed`.
    errors: list[BaseException] = []
    nodes = Nodes(RedisSettings(url=f"redis://127.0.0.1:{free_port()}", breaker_failures=2))
    commands = Commands(nodes, lambda event, reason: None, errors.append)
    for told in (0, 1, 1):
        with pytest.raises(StoreUnavailable):
            commands.run("get", b"key", "GET", b"key")
        assert len(errors) == told
    assert describe_failure(errors[0]) == "cannot be reached: connection refused"
