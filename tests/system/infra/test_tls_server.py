"""Redis and a Sentinel that speak TLS themselves, and ask for the client's certificate."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from cachemw import Cache, asgi, wsgi
from cachemw.testing.server import free_port
from tests.support.caches import options
from tests.support.calls import call_asgi, call_wsgi
from tests.support.traffic import Origin
from tests.support.waiting import until

from .programs import program

PASSWORD = "pw"


class Certificates:
    """An authority and one certificate for both sides, made by `openssl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._openssl("req", "-x509", *KEY, "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
        self._openssl("req", *KEY, "own.key", "-out", "own.csr", "-subj", "/CN=localhost")
        (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        self._openssl(
            *("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "2", "-out", "own.pem", "-extfile", "names"),
        )

    def _openssl(self, *arguments: str) -> None:
        command = [program("openssl"), *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def of_server(self) -> dict[str, str]:
        files = {"cert": "own.pem", "key": "own.key", "ca-cert": "ca.pem"}
        return {f"tls-{name}-file": self.path(file) for name, file in files.items()}

    @property
    def of_client(self) -> dict[str, str]:
        names = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "own.pem", "ssl_keyfile": "own.key"}
        return {name: self.path(file) for name, file in names.items()}

    @property
    def query(self) -> str:
        return "?" + "&".join(f"{name}={path}" for name, path in self.of_client.items())


KEY = ("-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def serving(program_name: str, lines: list[str], folder: Path, ping: Any) -> Iterator[None]:
    """Run a server with these lines of configuration until the block ends."""
    file = folder / f"{program_name}.conf"
    file.write_text("\n".join(lines) + "\n")
    log = folder / f"{program_name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program(program_name), str(file)], stdout=output, stderr=output, env=dict(os.environ)
        )
    try:
        until(lambda: answers(ping), limit=20.0)
        yield
    finally:
        process.terminate()
        process.wait(10)


def answers(ping: Any) -> bool:
    try:
        return bool(ping())
    except (redis.RedisError, OSError):
        return False


@pytest.fixture
def servers(certificates: Certificates, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Yield the TLS ports of a server and of a Sentinel that watches it."""
    port, sentinel_port = free_port(), free_port()
    tls = [f"{name} {value}" for name, value in certificates.of_server.items()]
    tls += [
        "port 0",
        "tls-auth-clients yes",
        "tls-replication yes",
        f"dir {tmp_path}",
        "bind 127.0.0.1",
    ]
    server = [*tls, f"tls-port {port}", 'save ""', f"requirepass {PASSWORD}"]
    sentinel = [
        *tls,
        f"tls-port {sentinel_port}",
        f"sentinel monitor main 127.0.0.1 {port} 1",
        f"sentinel auth-pass main {PASSWORD}",
    ]
    client: dict[str, Any] = {"ssl": True, **certificates.of_client}
    with (
        ExitStack() as stack,
        closing(redis.Redis("localhost", port, password=PASSWORD, **client)) as asked,
        closing(redis.Redis("localhost", sentinel_port, **client)) as watcher,
    ):
        stack.enter_context(serving("redis-server", server, tmp_path, asked.ping))
        stack.enter_context(serving("redis-sentinel", sentinel, tmp_path, watcher.ping))
        yield port, sentinel_port


async def shared_by_loop(cache: Cache) -> str:
    door = asgi.CacheMiddleware(Origin().asgi, cache)
    await call_asgi(door, "/things/2")
    await cache._core.tasks.drain(5.0)
    cache.memory.clear()
    status = (await call_asgi(door, "/things/2")).cache_status
    await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]
    return status


@pytest.mark.parametrize("by", ["address", "sentinel"])
def test_redis_speaks_tls_and_asks_for_a_certificate(
    servers: tuple[int, int], certificates: Certificates, by: str
) -> None:
    port, sentinel_port = servers
    url = {
        "address": f"rediss://:{PASSWORD}@localhost:{port}/1{certificates.query}",
        "sentinel": f"rediss+sentinel://:{PASSWORD}@localhost:{sentinel_port}/main{certificates.query}",
    }[by]
    with closing(Cache.from_dict(options(url))) as cache:
        cache.start()
        until(lambda: cache.log.live)
        door = wsgi.CacheMiddleware(Origin().wsgi, cache)
        call_wsgi(door, "/things/1")
        cache.memory.clear()
        assert "detail=shared" in call_wsgi(door, "/things/1").cache_status
        assert "detail=shared" in asyncio.run(shared_by_loop(cache))
        assert cache.purge(tags=["things"]).confirmed
        assert not cache.stats().events.get("store_error")
