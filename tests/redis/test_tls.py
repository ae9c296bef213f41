"""TLS: one context for all connections, made where no request waits; names are checked; Sentinels too."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from cachemw import Cache, wsgi
from cachemw.config.redis_settings import RedisSettings
from cachemw.connections.failures import describe_failure
from cachemw.connections.nodes import Nodes
from cachemw.stores.redis.commands import Commands
from cachemw.testing import ChaosProxy, RedisServer
from cachemw.testing.replicated import _Sentinel
from tests.support.caches import options
from tests.support.calls import call_wsgi
from tests.support.shared_hits import shared_by_loop, shared_by_thread
from tests.support.tls import Authority, TlsProxy
from tests.support.traffic import Origin
from tests.support.waiting import until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls(own_redis_server: RedisServer, authority: Authority) -> Iterator[TlsProxy]:
    with TlsProxy(own_redis_server.port, authority.context("localhost")) as proxy:
        yield proxy


def url_of(port: int, authority: Authority) -> str:
    return f"rediss://localhost:{port}/0?ssl_ca_certs={authority.file}"


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the threads in which clients' contexts are made."""
    made: list[str] = []
    make = ssl.create_default_context

    def noted(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.append(threading.current_thread().name)
        return make(*args, **kwargs)

    monkeypatch.setattr(ssl, "create_default_context", noted)
    return made


def test_one_context_serves_threads_and_loops_and_is_made_in_neither(
    tls: TlsProxy, authority: Authority, contexts: list[str]
) -> None:
    # Guard: `TlsContext`; redis-py makes a context for each connection, in the event loop.
    cache = Cache.from_dict(options(url_of(tls.port, authority)))
    with closing(cache):
        cache.start()
        until(lambda: cache.log.live)
        assert "hit" in shared_by_thread(cache)
        assert "hit" in asyncio.run(shared_by_loop(cache))
        assert "hit" in asyncio.run(shared_by_loop(cache, "/things/3"))
        assert cache.purge(tags=["things"]).confirmed
    assert contexts == ["cachemw-connect"]
    assert tls.handshakes >= 4


@pytest.mark.parametrize("door", ["threads", "loop"])
def test_a_long_round_trip_gives_hits_where_the_deadline_allows_it(
    own_redis_server: RedisServer, authority: Authority, door: str
) -> None:
    # Guard: `socket_connect_timeout`, which is not a share of the deadline. The three round trips of
    # connecting (TCP, TLS, the database) take longer than the share of the deadline that it had.
    with (
        TlsProxy(own_redis_server.port, authority.context("localhost")) as tls,
        ChaosProxy(f"redis://localhost:{tls.port}/0") as far,
    ):
        far.slow("60ms")
        url = url_of(far.port, authority).replace("/0?", "/1?")
        cache = Cache.from_dict(options(url, redis={"deadline": "300ms", "pool_wait": "290ms"}))
        with closing(cache):
            cache.start()
            until(lambda: cache.log.live)
            if door == "threads":
                assert "detail=shared" in shared_by_thread(cache)
            else:
                assert "detail=shared" in asyncio.run(shared_by_loop(cache))


def test_a_round_trip_that_is_too_long_says_what_to_set(
    own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    # Guard: `advice`; the line said only that Redis did not answer in time.
    with ChaosProxy(own_redis_server.url) as far:
        far.slow("60ms")
        cache = Cache.from_dict(options(far.url, redis={"deadline": "50ms"}))
        with caplog.at_level(logging.WARNING, "cachemw"), closing(cache):
            cache.start()
            until(lambda: cache.log.live, limit=30.0)
            caplog.clear()
            door = wsgi.CacheMiddleware(Origin().wsgi, cache)
            paths = (f"/things/{number}" for number in itertools.count())
            until(lambda: call_wsgi(door, next(paths)).status == 200 and caplog.messages)
    line = next(each for each in caplog.messages if each.startswith("event=redis_error"))
    assert "did not answer in time; a round trip to it takes" in line
    assert "with a deadline of 50 ms" in line
    assert re.search(r"set `deadline` in \[redis\] to at least ..?\d+ms", line)


def first_line(cache: Cache, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.WARNING, "cachemw"), closing(cache):
        cache.start()
        until(lambda: caplog.messages)
        assert call_wsgi(wsgi.CacheMiddleware(Origin().wsgi, cache), "/things/1").status == 200
    return caplog.messages[0]


def test_a_certificate_of_another_name_is_not_trusted(
    own_redis_server: RedisServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    # Guard: `server_hostname`; connections are opened to addresses, and the name must still be checked.
    with TlsProxy(own_redis_server.port, authority.context("elsewhere.test")) as other:
        line = first_line(Cache.from_dict(options(url_of(other.port, authority))), caplog)
    assert line.startswith("event=redis_error")
    assert "its certificate is not trusted" in line


def test_a_loop_checks_the_name_too(own_redis_server: RedisServer, authority: Authority) -> None:
    async def ping(port: int) -> None:
        cache = Cache.from_dict(options(url_of(port, authority)))
        node = cache._core.redis.nodes.of(b"key")  # type: ignore[union-attr]
        client = await node.aconnected()
        try:
            await client.ping()
        finally:
            await node.aclose()

    with TlsProxy(own_redis_server.port, authority.context("localhost")) as right:
        asyncio.run(ping(right.port))
    other = TlsProxy(own_redis_server.port, authority.context("elsewhere.test"))
    with other, pytest.raises(RedisConnectionError) as raised:
        asyncio.run(ping(other.port))
    assert describe_failure(raised.value) == "cannot be reached: its certificate is not trusted"


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_an_option_that_cannot_work_is_told_and_costs_only_the_shared_tier(
    option: str, tls: TlsProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Guard: `TlsContext._mistake`; else the line says "cannot be reached: no such file or directory".
    file = tmp_path / "missing.pem"
    file.touch()
    cache = Cache.from_dict(options(f"rediss://localhost:{tls.port}/0?{option}={file}"))
    file.unlink()  # after the configuration was read
    line = first_line(cache, caplog)
    assert "cannot be used with TLS" in line
    assert f"the file of {option} is missing" in line
    assert "missing.pem" not in line.partition("error=")[2]


def test_a_file_that_appears_later_is_used(
    tls: TlsProxy, authority: Authority, tmp_path: Path
) -> None:
    # Guard: only a context that was made is kept.
    later = tmp_path / "later.pem"
    later.touch()
    cache = Cache.from_dict(options(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={later}"))
    with closing(cache):
        cache.start()
        until(lambda: cache._core.redis.log.lost)  # type: ignore[union-attr]
        later.write_bytes(authority.file.read_bytes())
        until(lambda: cache.log.live)


def test_sentinels_are_asked_over_tls_with_the_options_of_the_url(
    own_redis_server: RedisServer, authority: Authority
) -> None:
    # Guard: `Opening.sentinel_client`; the Sentinels were asked over plain TCP.
    names = authority.context("localhost", "127.0.0.1")
    with (
        _Sentinel(own_redis_server.port) as sentinel,
        TlsProxy(own_redis_server.port, names) as server,
        TlsProxy(sentinel.port, names) as asked,
    ):
        sentinel.command("SENTINEL", "REMOVE", "main")
        sentinel.command("SENTINEL", "MONITOR", "main", "127.0.0.1", server.port, 1)
        url = f"rediss+sentinel://localhost:{asked.port}/main?ssl_ca_certs={authority.file}"
        cache = Cache.from_dict(options(url))
        with closing(cache):
            cache.start()
            until(lambda: cache.log.live)
            assert "detail=shared" in shared_by_thread(cache)
        assert asked.handshakes > 0


def test_the_handshake_has_the_limit_for_connecting_and_not_the_deadline(
    own_redis_server: RedisServer,
) -> None:
    # Guard: `_Unhurried` and `_AsyncUnhurried`. The password and the database take a round trip each.
    with ChaosProxy(own_redis_server.url) as far:
        far.slow("120ms")
        nodes = Nodes(RedisSettings(url=far.url.replace("/0", "/1"), deadline="50ms"))  # type: ignore[arg-type]
        node = nodes.of(b"key")
        node.connected()

        async def connect() -> None:
            await node.aconnected()
            await node.aclose()

        asyncio.run(connect())
        nodes.close()


def test_a_loop_of_one_command_waits_for_its_connection(own_redis_server: RedisServer) -> None:
    # Guard: `Waits.first`. What opens in the background of such a loop is never used.
    with ChaosProxy(own_redis_server.url) as far:
        far.slow("400ms")
        nodes = Nodes(RedisSettings(url=far.url.replace("/0", "/1"), deadline="1s"))  # type: ignore[arg-type]
        commands = Commands(nodes, lambda event, reason: None)
        for _ in range(2):
            assert asyncio.run(commands.arun("get", b"key", "GET", b"key")) is None
        nodes.close()


def has_hung_up(opened: Any) -> bool:
    """Tell whether the other side has closed; a readable socket may only have a session ticket of TLS."""
    poll = select.poll()
    poll.register(opened, getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(10))


def test_a_connection_that_the_server_has_closed_is_replaced_at_once(
    own_redis_server: RedisServer, tls: TlsProxy, authority: Authority
) -> None:
    # Guard: `_is_usable`. Servers and NAT close idle connections.
    def close_all() -> None:
        own_redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def main(node: Any) -> None:
        client = await node.aconnected()
        assert await client.ping()  # the server has it
        close_all()
        await asyncio.sleep(0.1)  # until the loop has seen it
        assert await client.ping()
        await node.aclose()

    for url in (own_redis_server.url, url_of(tls.port, authority)):
        nodes = Nodes(RedisSettings(url=url, deadline="5s"))  # type: ignore[arg-type]
        node = nodes.of(b"key")
        client = node.connected()
        (connection,) = client.connection_pool._free
        # Again and again: the proxy may not have reached the server yet.
        until(lambda: close_all() or has_hung_up(connection._sock))  # noqa: B023
        assert client.ping()
        asyncio.run(main(node))
        nodes.close()


def test_session_tickets_are_no_reply(tls: TlsProxy, authority: Authority) -> None:
    # Guard: `Dialed.can_read`; each new connection was taken for one that holds somebody's answer.
    client = Nodes(RedisSettings(url=url_of(tls.port, authority))).of(b"key").dedicated_client(5.0)
    pool: Any = client.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    try:
        connection.connect()
        until(lambda: select.select([connection._sock], [], [], 0.01)[0])
        assert not connection.can_read()
        connection.send_command("PING")
        until(lambda: select.select([connection._sock], [], [], 0.01)[0])
        assert connection.can_read()
    finally:
        connection.disconnect()


def test_a_server_that_never_ends_the_handshake_holds_no_request(authority: Authority) -> None:
    # Guards: connections are opened in the background; what is not open in time is no failure.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = url_of(silent.getsockname()[1], authority)
        cache = Cache.from_dict(options(url, redis={"deadline": "50ms"}))
        commands: Any = cache._core.redis.tier._commands  # type: ignore[union-attr]
        began = time.monotonic()
        for _ in range(10):
            with pytest.raises(Exception, match="ConnectionError"):
                commands.run("get", b"key", "GET", b"key")
        waited = time.monotonic() - began
        assert commands.is_reachable(b"key")
        cache.close()
    # Ten times 15 ms; each would have waited for the limit of a second.
    assert waited < 0.9
