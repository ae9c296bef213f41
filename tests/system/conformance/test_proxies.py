"""The proxies relay what they get, or the suite would judge them and not the cache. Needs no node."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from . import proxies

Origin = Callable[[bytes], list[bytes]]


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    """Give a function that sets the one answer; what it gives fills with the request."""
    threads = []
    with closing(socket.create_server((proxies.HOST, 0))) as listener:
        monkeypatch.setenv("ORIGIN_PORT", str(listener.getsockname()[1]))

        def answer(answer: bytes) -> list[bytes]:
            heard: list[bytes] = []

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    heard.append(connection.recv(65536))
                    connection.sendall(answer)

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            return heard

        yield answer
        for thread in threads:
            thread.join(10)


def test_fields_are_relayed_in_order_with_repetitions_and_all_bytes(origin: Origin) -> None:
    heard = origin(b"HTTP/1.1 299 So\r\nB: 1\r\nA: \xfc\r\nB: 2\r\nContent-Length: 2\r\n\r\nok")
    answer = proxies.ask("M-SEARCH", "/a%2fb?c", [("X", "1"), ("x", "\xfc"), ("TE", "a")], b"body")
    assert answer.status == 299
    assert answer.reason == "So"
    assert answer.fields == [("B", "1"), ("A", "\xfc"), ("B", "2"), ("Content-Length", "2")]
    assert answer.body == b"ok"
    assert heard[0].startswith(
        b"M-SEARCH /a%2fb?c HTTP/1.1\r\nX: 1\r\nx: \xfc\r\nContent-Length: 4\r\n"
    )


def test_a_body_ends_where_its_length_says(origin: Origin) -> None:
    origin(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger")
    assert proxies.ask("GET", "/", [], b"").body == b"lo"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_an_origin_that_breaks_off_raises_what_no_server_takes_for_a_client(
    origin: Origin, answer: bytes
) -> None:
    origin(answer)
    with pytest.raises(proxies.BrokenOff) as caught:
        proxies.ask("GET", "/", [], b"")
    assert not isinstance(caught.value, OSError)


def test_asgi_leaves_the_cache_the_fields_of_a_connection_and_wsgi_does_not() -> None:
    fields = [("Connection", "a"), ("A", "1"), ("Transfer-Encoding", "x"), ("C", "2")]
    assert proxies.for_asgi(fields) == [(b"connection", b"a"), (b"a", b"1"), (b"c", b"2")]
    assert proxies.end_to_end(fields) == [("C", "2")]
