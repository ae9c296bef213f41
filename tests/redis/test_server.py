"""The embedded server does what the fault tests rely on."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from cachemw.testing import RedisServer, ServerStartError
from cachemw.testing.redis_protocol import ReplyError


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_answers_on_its_url(own_redis_server: RedisServer) -> None:
    assert own_redis_server.url == f"redis://127.0.0.1:{own_redis_server.port}/0"
    assert own_redis_server.command("SET", "a", b"\r\n\0") == b"OK"
    assert own_redis_server.command("GET", "a") == b"\r\n\0"
    assert own_redis_server.command("GET", "none") is None
    assert own_redis_server.command("INCR", "n") == 1
    assert own_redis_server.command("MGET", "a", "none") == [b"\r\n\0", None]
    with pytest.raises(ReplyError, match="WRONGTYPE"):
        own_redis_server.command("LPUSH", "a", 1)


def test_two_servers_share_nothing(own_redis_server: RedisServer) -> None:
    with RedisServer() as other:
        other.command("SET", "a", 1)
        assert other.port != own_redis_server.port
        assert own_redis_server.command("GET", "a") is None


def test_a_unix_socket_serves_too() -> None:
    with RedisServer(unix=True) as server:
        assert server.url.startswith("unix://")
        assert server.command("PING") == b"PONG"
        server.restart()
        assert server.command("PING") == b"PONG"


def test_killed_means_refused(own_redis_server: RedisServer) -> None:
    pid = own_redis_server.pid
    own_redis_server.kill()
    assert not is_alive(pid)
    assert not own_redis_server.running
    with pytest.raises(ConnectionRefusedError):
        own_redis_server.command("PING")
    with pytest.raises(RuntimeError, match="not running"):
        _ = own_redis_server.pid


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_comes_back_empty_at_the_same_address(own_redis_server: RedisServer, end: str) -> None:
    before = (own_redis_server.url, own_redis_server.pid)
    own_redis_server.command("SET", "a", 1)
    getattr(own_redis_server, end)()
    own_redis_server.restart()
    assert own_redis_server.url == before[0]
    assert own_redis_server.pid != before[1]
    assert own_redis_server.command("GET", "a") is None


def test_hung_means_connected_and_silent(own_redis_server: RedisServer) -> None:
    own_redis_server.hang()
    with pytest.raises(TimeoutError):
        own_redis_server.command("PING", timeout=0.1)
    assert own_redis_server.running
    own_redis_server.resume()
    assert own_redis_server.command("PING") == b"PONG"


def test_full_means_writes_refused_and_reads_served(own_redis_server: RedisServer) -> None:
    own_redis_server.command("SET", "a", 1)
    own_redis_server.fill()
    for write in (("SET", "b", 1), ("INCR", "n"), ("XADD", "s", "*", "f", "v")):
        with pytest.raises(ReplyError, match="OOM"):
            own_redis_server.command(*write)
    assert own_redis_server.command("GET", "a") == b"1"
    assert own_redis_server.command("DEL", "a") == 1
    own_redis_server.unfill()
    assert own_redis_server.command("SET", "b", 1) == b"OK"


def test_read_only_means_writes_refused_and_reads_served(own_redis_server: RedisServer) -> None:
    own_redis_server.command("SET", "a", 1)
    own_redis_server.read_only()
    with pytest.raises(ReplyError, match="READONLY"):
        own_redis_server.command("SET", "a", 2)
    assert own_redis_server.command("GET", "a") == b"1"
    own_redis_server.writable()
    assert own_redis_server.command("SET", "a", 2) == b"OK"


@pytest.mark.parametrize("fault", ["hang", "kill", "stop", "fill", "read_only"])
def test_leaving_ends_the_process_and_removes_its_directory(fault: str) -> None:
    with RedisServer() as server:
        pid = server.pid
        directory = os.fsdecode(server.command("CONFIG", "GET", "dir")[1])
        getattr(server, fault)()
    assert not is_alive(pid)
    assert not os.path.exists(directory)


def test_a_program_that_forgets_it_leaves_no_process_behind() -> None:
    program = """
        from cachemw.testing import RedisServer
        server = RedisServer()
        server.start()
        server.hang()
        print(server.pid)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert not is_alive(int(done.stdout))


def test_a_forked_child_does_not_end_its_parents_server() -> None:
    program = """
        import os, sys
        from cachemw.testing import RedisServer
        with RedisServer() as server:
            if pid := os.fork():
                os.waitpid(pid, 0)
                print(server.command("PING"))
            else:
                sys.exit()  # runs the child's copy of the exit handlers and of __exit__
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "b'PONG'\n"


def test_a_port_taken_by_another_server_is_not_mistaken_for_ours(
    own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    offered = iter([own_redis_server.port, free])
    monkeypatch.setattr("cachemw.testing.server.free_port", lambda: next(offered))
    with RedisServer() as server:
        assert server.port == free


def test_a_refused_start_says_what_the_server_said() -> None:
    server = RedisServer(options=("--no-such-option", "1"))
    with pytest.raises(ServerStartError, match="no-such-option"):
        server.start()
    assert not server.running
    server.close()


def test_without_the_wheel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("CACHEMW_TEST_SERVER", raising=False)
    server = RedisServer()
    with pytest.raises(ImportError, match=r"cachemw\[testing\]"):
        server.start()
    server.close()
