from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from cachemw.connections.failures import describe_failure
from cachemw.errors import StoreUnavailable
from cachemw.testing import RedisServer

SECRET = "hunter2"
REFUSED = "connection refused (does it run, and is this its port?)"


def fail(url: str, *command: str) -> str:
    """Run a command that must fail on a server, and return what is said of it."""
    client = Redis.from_url(
        url, socket_timeout=0.2, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0), protocol=2
    )
    with closing(client), pytest.raises(Exception) as caught:
        client.execute_command(*(command or ("PING",)))
    return describe_failure(caught.value, 0.2)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def answering(reply: bytes | None) -> Iterator[int]:
    """Serve connections that get one reply each, or none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if reply is not None:
                    connection.recv(1000)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def test_a_closed_port_refuses_the_connection(free_port: int) -> None:
    refused = fail(f"redis://127.0.0.1:{free_port}")
    assert refused == f"cannot be reached: {REFUSED}"


def test_a_missing_socket_is_a_missing_file() -> None:
    assert fail("unix:///nowhere/redis.sock") == "cannot be reached: no such file or directory"


def test_a_name_that_nobody_knows_is_said() -> None:
    assert fail("redis://redis.invalid") == "cannot be reached: its host name is not known here"


def test_silence_is_told_with_its_seconds() -> None:
    with answering(None) as port:
        assert fail(f"redis://127.0.0.1:{port}") == "did not answer in 0.2 s"


def test_another_protocol_is_told() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "does not speak the protocol of Redis" in fail(f"redis://127.0.0.1:{port}")
        assert "does the server speak TLS" in fail(f"rediss://127.0.0.1:{port}")


def test_passwords_are_told_apart_and_never_shown(own_redis_server: RedisServer) -> None:
    url = own_redis_server.url
    address = url.removeprefix("redis://").partition("/")[0]
    assert "has no password" in fail(f"redis://:{SECRET}@{address}")
    with closing(Redis.from_url(url)) as client:
        client.acl_setuser("reader", enabled=True, passwords=["+r"], categories=["+@read"])
        client.config_set("requirepass", "right")
    wrong = fail(f"redis://:{SECRET}@{address}")
    assert wrong.startswith("refuses the user name or the password")
    assert SECRET not in wrong
    assert fail(url).startswith("wants a password")
    assert fail(f"redis://reader:r@{address}", "SET", "a", "b").startswith(
        "does not allow this user"
    )


def test_a_replica_is_told(own_redis_server: RedisServer, free_port: int) -> None:
    with closing(Redis.from_url(own_redis_server.url)) as client:
        client.replicaof("127.0.0.1", free_port)
    assert "read-only replica" in fail(own_redis_server.url, "SET", "a", "b")


def test_what_another_refusal_says_is_not_repeated() -> None:
    assert describe_failure(ResponseError(f"ERR {SECRET}")) == "refuses the command (ResponseError)"
    assert "needs Redis 6.2 or later" in describe_failure(
        ResponseError(f"unknown command '{SECRET}'")
    )


def test_a_wrapped_error_is_told_by_its_cause() -> None:
    wrapped = StoreUnavailable("get: ConnectionRefusedError")
    wrapped.__cause__ = ConnectionRefusedError(111, SECRET)
    assert describe_failure(wrapped) == f"cannot be reached: {REFUSED}"
    assert describe_failure(StoreUnavailable("no master")) == "cannot be used: no master"
    looked_up = StoreUnavailable("no master after a look-up")
    looked_up.__context__ = StoreUnavailable("not known yet")  # as in `Nodes.find`
    assert describe_failure(looked_up) == "cannot be used: no master after a look-up"
    refused = StoreUnavailable("purge: StoreUnavailable")
    refused.__cause__ = StoreUnavailable("no master")
    assert describe_failure(refused) == "cannot be used: no master"


def test_a_fault_of_this_process_is_not_blamed_on_redis() -> None:
    said = describe_failure(TypeError(SECRET))
    assert said == "is not used, because of an error in this process: TypeError"
