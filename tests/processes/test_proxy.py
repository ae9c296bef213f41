"""The proxy does to a connection what it is told, at once, and nothing when it is told so."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cachemw.testing import ChaosProxy, RedisServer
from cachemw.testing.redis_protocol import call, connect_tcp
from tests.support.waiting import until


@pytest.fixture
def proxy(redis_url: str) -> Iterator[ChaosProxy]:
    with ChaosProxy(redis_url) as proxy:
        yield proxy


def connect(proxy: ChaosProxy, timeout: float = 5.0) -> socket.socket:
    return connect_tcp("127.0.0.1", proxy.port, timeout)


def test_it_relays_in_both_directions_and_forgets_what_has_ended(proxy: ChaosProxy) -> None:
    big = b"x" * 1_000_000
    with connect(proxy) as here, connect(proxy) as there:
        assert call(here, "SET", "big", big) == b"OK"
        assert call(there, "GET", "big") == big
        assert proxy.connections == 2
    until(lambda: proxy.connections == 0)


def test_its_url_is_the_servers_with_another_address(own_redis_server: RedisServer) -> None:
    url = own_redis_server.url.replace("redis://", "redis://user:secret@").replace("/0", "/3")
    with ChaosProxy(url) as proxy:
        assert proxy.url == f"redis://user:secret@127.0.0.1:{proxy.port}/3"
    with ChaosProxy(url.replace("redis://", "rediss://")) as proxy:  # TLS goes through it
        assert proxy.url == f"rediss://user:secret@127.0.0.1:{proxy.port}/3"


@pytest.mark.parametrize("url", ["unix:///tmp/s", "http://127.0.0.1:6379", "127.0.0.1:6379"])
def test_what_is_no_tcp_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="redis://"):
        ChaosProxy(url)


def test_slow_replies_come_late(proxy: ChaosProxy) -> None:
    with connect(proxy) as client:
        proxy.slow("50ms")
        began = time.monotonic()
        assert call(client, "PING") == b"PONG"
        assert time.monotonic() - began >= 0.05


def test_a_change_is_not_waited_for(proxy: ChaosProxy) -> None:
    # Guard: `Link._wait` ends when the manner changes.
    with connect(proxy) as client:
        proxy.slow("1h")
        client.sendall(b"PING\r\n")
        proxy.normal()
        assert client.recv(100) == b"+PONG\r\n"


def test_slices_come_one_by_one(proxy: ChaosProxy) -> None:
    with connect(proxy) as client:
        proxy.slice(1, "1h")
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+"
        proxy.slice(2)
        received = b""
        while len(received) < 6:
            received += client.recv(100)
        assert received == b"PONG\r\n"


def test_cut_ends_what_is_open_and_lets_in_what_comes(proxy: ChaosProxy) -> None:
    with connect(proxy) as client, connect(proxy) as late:
        assert call(client, "PING") == b"PONG"
        assert call(late, "PING") == b"PONG"
        proxy.cut()
        assert client.recv(1) == b""
        assert late.recv(1) == b""
        assert proxy.connections == 0
        with connect(proxy) as new:
            assert call(new, "PING") == b"PONG"


def test_cut_after_so_many_bytes_of_each_connection(proxy: ChaosProxy) -> None:
    proxy.cut_after(10)
    for _ in range(2):
        with connect(proxy) as client:
            assert call(client, "PING") == b"PONG"
            client.sendall(b"PING\r\n")
            with client.makefile("rb") as stream:
                assert stream.read() == b"+PO"


def test_half_closed_means_no_more_comes_and_what_is_sent_is_read(proxy: ChaosProxy) -> None:
    with connect(proxy) as client:
        assert call(client, "PING") == b"PONG"
        proxy.half_close()
        assert client.recv(1) == b""
        client.sendall(b"SET half closed\r\n")
        with connect(proxy) as new:
            assert new.recv(1) == b""
        proxy.normal()
        with connect(proxy) as whole:
            until(lambda: call(whole, "GET", "half") == b"closed")


def test_swallowed_means_connected_and_silent_and_kept_for_later(proxy: ChaosProxy) -> None:
    with connect(proxy, timeout=0.05) as client:
        proxy.swallow()
        client.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(5.0)
        proxy.normal()
        assert client.recv(100) == b"+PONG\r\n"


def test_swallowed_connections_can_be_cut(proxy: ChaosProxy) -> None:
    # Guard: `Link.cut` wakes what is held.
    with connect(proxy) as client:
        until(lambda: proxy.connections == 1)
        proxy.swallow()
        client.sendall(b"PING\r\n")
        proxy.cut()
        assert client.recv(1) == b""


def test_refused_means_refused_until_it_is_normal_again(proxy: ChaosProxy) -> None:
    with connect(proxy) as client:
        assert call(client, "PING") == b"PONG"
        port = proxy.port
        proxy.refuse()
        proxy.refuse()
        assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    proxy.normal()
    assert proxy.port == port
    with connect(proxy) as client:
        assert call(client, "PING") == b"PONG"


def test_a_server_that_is_down_is_down_behind_it(own_redis_server: RedisServer) -> None:
    with ChaosProxy(own_redis_server.url) as proxy:
        own_redis_server.kill()
        with connect(proxy) as client:
            assert client.recv(1) == b""
        own_redis_server.start()
        with connect(proxy) as client:
            assert call(client, "PING") == b"PONG"


def test_it_takes_orders_from_any_thread_and_ends_its_own(redis_url: str) -> None:
    before = set(threading.enumerate())
    with ChaosProxy(redis_url) as proxy:
        orders: list[Any] = [proxy.normal, proxy.cut, proxy.swallow, proxy.refuse, proxy.half_close]
        threads = [threading.Thread(target=order) for order in orders * 5]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        proxy.normal()
        with connect(proxy) as client:
            assert call(client, "PING") == b"PONG"
    until(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize(
    ("order", "value"), [("slow", "soon"), ("slow", -1), ("slice", 0), ("cut_after", -1)]
)
def test_orders_that_make_no_sense_are_refused(proxy: ChaosProxy, order: str, value: Any) -> None:
    with pytest.raises(ValueError):
        getattr(proxy, order)(value)
