"""Workers over sockets, and connections that know which worker they lead to."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import running
from tests.support.waiting import LIMIT, until

__all__ = ["KINDS", "WORKERS", "Answer", "Connection", "serve"]

FOLDER = Path(__file__).parent
WORKERS = 3

_UVICORN = ("uvicorn", "app:asgi_app", "--app-dir", str(FOLDER), "--host", "127.0.0.1")
_GUNICORN = ("gunicorn", "app:wsgi_app", "--chdir", str(FOLDER), "--bind", "127.0.0.1:0")
_THREADS = ("--worker-class", "gthread", "--threads", "8", "--keep-alive", "60")
KINDS: dict[str, tuple[str, ...]] = {
    "uvicorn": (*_UVICORN, "--port", "0", "--timeout-keep-alive", "60", "--lifespan", "off"),
    "gunicorn": (*_GUNICORN, *_THREADS, "--no-control-socket"),
}


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
    """Run a server until the block ends; yield its port when every worker answers."""
    command = [*KINDS[kind], "--workers", str(WORKERS)]
    settings = {"APP_REDIS": redis_url, "APP_DATA": str(data), **environment}
    with running(command, log, **settings) as (_, port):
        _await_workers(port)
        yield port


def _await_workers(port: int) -> None:
    """Wait until all workers have loaded the application: gunicorn listens before they have."""
    workers = set()
    with ExitStack() as opened:

        def everybody() -> bool:
            connection = opened.enter_context(closing(Connection(port)))
            workers.add(connection.get("/pages/0").worker)
            return len(workers) == WORKERS

        until(everybody)
