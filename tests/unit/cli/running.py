"""A site that runs in the test's process, so that what a command does to it can be seen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

from click.testing import Result

from cachemw import Cache
from cachemw.wsgi import CacheMiddleware

Run = Callable[..., Result]
"""Runs a command in this process: the arguments, and `code`, what it must exit with."""

WHO = "a_module_that_is_not_here:who"
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


class Site:
    """An application behind the cache, and how often it was called."""

    def __init__(self, path: str) -> None:
        self.cache = Cache.from_file(path, identities={WHO: lambda request: "one"})
        self.calls = 0
        self.fails = False
        self._door = CacheMiddleware(self._answer, self.cache)

    def _answer(self, environ: dict[str, object], start_response: Callable[..., object]) -> object:
        self.calls += 1
        if self.fails:
            raise RuntimeError("the application is broken")
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


def spawn(*args: str, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m cachemw` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "cachemw", *args],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done
