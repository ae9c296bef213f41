"""Real servers in processes of their own, and a client that speaks to them over plain sockets."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.waiting import LIMIT, until

__all__ = [
    "COMMANDS",
    "Answer",
    "Client",
    "Server",
    "client_of_each",
    "running",
    "serve",
    "started",
]

FOLDER = Path(__file__).parents[1] / "processes"
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")

_UVICORN = ("uvicorn", "apps:asgi_app", "--app-dir", str(FOLDER), "--host", "127.0.0.1")
_GUNICORN = ("gunicorn", "apps:wsgi_app", "--chdir", str(FOLDER), "--bind", "127.0.0.1:0")
_THREADS = ("--worker-class", "gthread", "--threads", "8", "--keep-alive", "30")
_GREENLETS = ("--worker-class", "gevent", "--keep-alive", "30", "--no-control-socket")
_GUNICORN_ASGI = (
    "gunicorn",
    "apps:asgi_app",
    *_GUNICORN[2:],
    "--workers",
    "2",
    "--no-control-socket",
)
_DJANGO = ("gunicorn", "apps_django:wsgi_app", *_GUNICORN[2:], "--no-control-socket")
# A connection that a test keeps while it waits for something else: uvicorn would end it after 5 s.
_TWO = ("--port", "0", "--workers", "2", "--no-use-colors", "--timeout-keep-alive", "30")
COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "uvicorn": (2, (*_UVICORN, *_TWO)),
    "gunicorn": (2, (*_GUNICORN, *_THREADS, "--workers", "2", "--no-control-socket")),
    "preload": (4, (*_GUNICORN, *_THREADS, "--workers", "4", "--no-control-socket", "--preload")),
    "gevent": (2, (*_GUNICORN, *_GREENLETS, "--workers", "2")),
    "gevent-preload": (2, (*_GUNICORN, *_GREENLETS, "--workers", "2", "--preload")),
    "gunicorn-asgi": (2, (*_GUNICORN_ASGI, "--worker-class", "asgi")),
    "uvicorn-worker": (2, (*_GUNICORN_ASGI, "--worker-class", "uvicorn.workers.UvicornWorker")),
    "django-preload": (2, (*_DJANGO, *_THREADS, "--workers", "2", "--preload")),
    "django-uvicorn": (2, ("uvicorn", "apps_django:asgi_app", *_UVICORN[2:], *_TWO)),
}
"""Name -> number of workers, command line. The kernel chooses the port; the log tells it."""
NEEDS = {
    "gevent": "gevent",
    "gevent-preload": "gevent",
    "gunicorn-asgi": "gunicorn.workers.gasgi",
    "uvicorn-worker": "uvicorn.workers",
}
"""What a server needs that is not always there."""


@dataclass(frozen=True)
class Answer:
    """One response, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def cache_status(self) -> str:
        return self.headers.get("cache-status", "")


class Client:
    """One connection, kept alive: all of its requests go to one worker."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self.socket.makefile("rb")

    def send(self, path: str, method: str = "GET", **fields: str) -> None:
        """Send a request and wait for nothing."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        if method == "PUT":
            lines.append("Content-Length: 0")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of a response."""
        status = int(self._line().split()[1])
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return status, headers

    def chunk(self) -> bytes:
        """Read one piece of a chunked body; the last one is empty."""
        size = int(self._line(), 16)
        data = self._stream.read(size)
        self._line()
        return data

    def read(self, size: int) -> bytes:
        """Read so many bytes of a body."""
        return self._stream.read(size)

    def _line(self) -> str:
        line = self._stream.readline()
        assert line, "the server has closed the connection"
        return line.rstrip(b"\r\n").decode("latin-1")

    def answer(self) -> Answer:
        """Read a whole response."""
        status, headers = self.head()
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self.chunk, b""))
        else:
            body = self.read(int(headers["content-length"]))
        return Answer(status, headers, body)

    def get(self, path: str, method: str = "GET", **fields: str) -> Answer:
        """Send a request and read the whole response."""
        self.send(path, method, **fields)
        return self.answer()

    def about(self) -> dict[str, Any]:
        """Ask which worker this is, and whether it follows the log."""
        about: dict[str, Any] = json.loads(self.get("/about").body)
        return about

    def close(self) -> None:
        """Go away, whatever is on its way."""
        self._stream.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass
class Server:
    """A server that answers."""

    kind: str
    port: int
    workers: int
    process: subprocess.Popen[bytes]
    log: Path
    data: Path

    def client(self) -> Client:
        """Open a connection."""
        return Client(self.port)

    @property
    def calls(self) -> int:
        """How often any worker's application has made a page."""
        file = self.data / "calls"
        return file.stat().st_size if file.exists() else 0

    def has(self, what: str) -> bool:
        """Say whether the application has noted something."""
        return (self.data / what).exists()

    def go_on(self, name: str) -> None:
        """Let a paused answer go on."""
        (self.data / f"go-{name}").touch()

    def terminate(self) -> int:
        """Ask the server to end, and return its exit code; fail if it takes long."""
        self.process.terminate()
        return self.process.wait(LIMIT)


@contextmanager
def serve(name: str, redis_url: str, folder: Path, **environment: str) -> Iterator[Server]:
    """Run a server until the block ends, every worker of it following the log."""
    needed = NEEDS.get(name)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed: there may be no wheel of it for this Python")
    workers, command = COMMANDS[name]
    data = folder / "data"
    data.mkdir()
    settings = {"APP_REDIS": redis_url, "APP_DATA": str(data), **environment}
    with running(command, folder / "log", **settings) as (process, port):
        yield Server(name, port, workers, process, folder / "log", data)


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    *,
    program: Sequence[str] = (sys.executable, "-m"),
    port: int | None = None,
    **environment: str,
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `python -m command` until the block ends, in the folder of its log; yield its port too.

    Without `port`, the program's log tells it.
    """
    with started((*program, *command), log, **environment) as process:
        yield process, _port(process, log, port)


@contextmanager
def started(
    command: Sequence[str], log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, in the folder of its log."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _port(process: subprocess.Popen[bytes], log: Path, known: int | None) -> int:
    found = [] if known is None else [known]

    def told() -> bool:
        text = log.read_text(errors="replace")
        assert process.poll() is None, text
        found[:] = found or map(int, _LISTENING.findall(text))
        return bool(found)

    until(told)
    # uvicorn's parent binds and tells; its workers listen, a moment later.
    until(lambda: told() and _accepts(found[0]))
    return found[0]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The group outlives its leader while a worker does.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10.0)


@contextmanager
def client_of_each(server: Server) -> Iterator[list[Client]]:
    """Open connections until there is one to every worker, and each follows the log."""
    clients: dict[int, Client] = {}
    spare: list[Client] = []
    try:

        def everybody() -> bool:
            client = server.client()
            pid = client.about()["pid"]
            if pid in clients:
                # Kept open for a while: where all are idle the same worker may take every one.
                spare.append(client)
            else:
                clients[pid] = client
            return len(clients) == server.workers

        until(everybody)
        for client in clients.values():
            client.get("/pages/begin")  # the first request begins to follow
            until(lambda client=client: client.about()["live"])
        yield list(clients.values())
    finally:
        for client in (*clients.values(), *spare):
            client.close()
