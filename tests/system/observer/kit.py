"""Workers over sockets, and connections that know which worker they lead to."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KINDS", "WORKERS", "Answer", "Connection", "serve", "until"]

FOLDER = Path(__file__).parent
LIMIT = 20.0
WORKERS = 3
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")

_UVICORN = ("uvicorn", "app:asgi_app", "--app-dir", str(FOLDER), "--host", "127.0.0.1")
_GUNICORN = ("gunicorn", "app:wsgi_app", "--chdir", str(FOLDER), "--bind", "127.0.0.1:0")
_THREADS = ("--worker-class", "gthread", "--threads", "8", "--keep-alive", "60")
KINDS: dict[str, tuple[str, ...]] = {
    "uvicorn": (*_UVICORN, "--port", "0", "--timeout-keep-alive", "60", "--lifespan", "off"),
    "gunicorn": (*_GUNICORN, *_THREADS, "--no-control-socket"),
}


def until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait for a condition; fail after `limit` seconds."""
    ends = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < ends, f"not within {limit} s"
        time.sleep(0.01)


@dataclass(frozen=True)
class Answer:
    """One response, whole."""

    status: int
    body: str
    worker: int
    heard: float
    """When that worker had last heard from the log, before it decided."""
    cache_status: str


class Connection:
    """One connection, kept alive: after the first answer it is known which worker it leads to."""

    def __init__(self, port: int) -> None:
        self.opened = time.monotonic()
        self.worker: int | None = None
        self._client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)

    def get(self, path: str, **fields: str) -> Answer:
        """Ask; raises OSError or HTTPException where the connection breaks."""
        self._client.request("GET", path, headers=fields)
        response = self._client.getresponse()
        body = response.read().decode()
        self.worker = int(response.headers["X-Worker"])
        heard = float(response.headers["X-Heard"])
        status = response.headers.get("Cache-Status", "")
        return Answer(response.status, body, self.worker, heard, status)

    def close(self) -> None:
        self._client.close()


@contextmanager
def serve(kind: str, redis_url: str, data: Path, log: Path, **environment: str) -> Iterator[int]:
    """Run a server until the block ends; give its port."""
    command = [sys.executable, "-m", *KINDS[kind], "--workers", str(WORKERS)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "APP_REDIS": redis_url, "APP_DATA": str(data), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _port(process, log)
    finally:
        _end(process)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    found: list[str] = []

    def listens() -> bool:
        text = log.read_text(errors="replace")
        assert process.poll() is None, text
        found[:] = _LISTENING.findall(text)
        return bool(found)

    until(listens)
    port = int(found[0])
    # uvicorn's parent binds and tells; its workers listen, a moment later.
    until(lambda: process.poll() is not None or _accepts(port))
    return port


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
