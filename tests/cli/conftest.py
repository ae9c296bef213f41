"""A site that runs in the test's process, so that what a command does to it can be seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest
from click.testing import CliRunner, Result

from cachemw import Cache
from cachemw.cli.group import group
from cachemw.wsgi import CacheMiddleware

CONFIG = """
namespace = "cli"
redis = {{ url = "{url}", deadline = "1s" }}
log = {{ poll = "50ms", confirm_wait = "5s" }}

[[routes]]
name = "products"
path = "/products/{{id:int}}"
ttl = "1h"
risk = "low"
query = []
tags = ["product:{{id}}"]

[[routes]]
name = "orders"
path = "/orders"
ttl = "1h"
risk = "high"
stale_if_error = "1h"

[[routes]]
name = "mine"
path = "/mine"
ttl = "1h"
identity = "a_module_that_is_not_here:who"
"""


@pytest.fixture(autouse=True)
def _no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run every test in an empty folder, without the developer's own settings."""
    for name in ("REDIS", "NAMESPACE", "SECRET", "FLAGS", "KILL", "CONFIG", "MEMORY_MAX_SIZE"):
        monkeypatch.delenv(f"CACHEMW_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Give the function that writes `cachemw.toml`."""

    def write(text: str) -> str:
        path = tmp_path / "cachemw.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def fleet_file(redis_url: str, write: Callable[[str], str]) -> str:
    """Give the path of a configuration with Redis."""
    return write(CONFIG.format(url=redis_url))


class Site:
    """An application behind the cache, and how often it was called."""

    def __init__(self, path: str) -> None:
        self.cache = Cache.from_file(path, identities={WHO: lambda request: "one"})
        self.calls = 0
        self._door = CacheMiddleware(self._answer, self.cache)

    def _answer(self, environ: dict[str, object], start_response: Callable[..., object]) -> object:
        self.calls += 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"answer {self.calls}".encode()]

    def get(self, target: str, host: str = "shop.example") -> str:
        """Give the body of the answer."""
        path, _, query = target.partition("?")
        environ: dict[str, object] = {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host}
        setup_testing_defaults(environ)
        body = self._door(environ, lambda *head: None)
        try:
            return b"".join(body).decode()
        finally:
            getattr(body, "close", lambda: None)()

    def cached(self, target: str) -> bool:
        """Say whether a request for it is answered without the application."""
        before = self.calls
        self.get(target)
        return self.calls == before


WHO = "a_module_that_is_not_here:who"


@pytest.fixture
def site(fleet_file: str) -> Iterator[Site]:
    """Yield a site that follows the log."""
    site = Site(fleet_file)
    site.cache.start()
    until(lambda: site.cache.log.live)
    yield site
    site.cache.close()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.005)


Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Give the function that runs a command in this process."""

    def run(*args: str, code: int = 0) -> Result:
        result = CliRunner().invoke(group, args, prog_name="cachemw")
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run
