"""The rules of the package's structure.

Imports run one way, from the front doors down to `errors`. Every rule below is a test. The lists
name what breaks a rule today, with the reason; a list may only shrink, so an entry that is no
longer needed fails too.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachemw
from tests.support.imports import (
    MODULES,
    PACKAGE,
    PACKAGES,
    circles,
    foreign,
    modules_in,
    own,
    place,
    walk,
)

# Folders ------------------------------------------------------------------------------------------

ROOT = {
    "__init__",
    "__main__",
    "asgi",
    "cache",
    "errors",
    "openfeature",
    "starlette",
    "wsgi",
}
"""The modules of the package's root: the import paths that the documentation shows."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "process": set(),
    "http": set(),
    "config.syntax": {"errors"},
    "config": {"config.syntax", "config.checks", "errors"},
    "config.checks": {"config.syntax", "errors"},
    "engine": set(),
    "engine.privacy": {"config.syntax", "http"},
    "engine.model": {"config.syntax", "engine.privacy", "errors", "http"},
    "engine.core": {"config", "config.syntax", "engine.model", "engine.privacy", "errors", "http"},
    "engine.request": {
        "config.syntax",
        "engine.core",
        "engine.model",
        "engine.privacy",
        "errors",
        "http",
    },
    "engine.lookup": {
        "engine.core",
        "engine.model",
        "engine.privacy",
        "engine.request",
        "errors",
        "http",
    },
    "engine.keeping": {
        "engine.lookup",
        "engine.core",
        "engine.model",
        "engine.privacy",
        "engine.request",
        "errors",
        "http",
    },
    "engine.flows": {
        "engine.core",
        "engine.keeping",
        "engine.lookup",
        "engine.model",
        "engine.request",
        "errors",
        "http",
    },
    "connections.opening": {"config", "config.syntax", "errors"},
    "connections": {"config", "config.syntax", "connections.opening", "errors", "process"},
    "stores": {"engine.model"},
    "stores.memory": {"engine.model"},
    "stores.redis": {
        "connections",
        "engine.core",
        "engine.model",
        "errors",
        "http",
        "stores.memory",
    },
    "invalidation": {"config.syntax", "engine.model", "process"},
    "invalidation.log": {
        "config",
        "connections",
        "engine.model",
        "errors",
        "invalidation",
        "process",
    },
    "rollout.flags": {"config", "config.syntax", "engine.model", "errors", "process"},
    "rollout.guardrails": {"engine.model"},
    "rollout": {
        "config",
        "config.syntax",
        "engine.model",
        "errors",
        "process",
        "rollout.flags",
        "rollout.guardrails",
    },
    "telemetry": {"config", "engine.model", "errors", "process"},
    "learning": {"engine.model"},
    "recording": {"engine.model", "engine.privacy", "http"},
    "recording.sql": {"engine.model", "recording.sql.functions", "recording.sql.lexical"},
    "recording.sql.functions": {"recording.sql.lexical"},
    "recording.sql.lexical": set(),
    "extensions": {"config", "engine.model", "errors", "http"},
    "wiring": {
        "config",
        "connections",
        "engine.core",
        "engine.model",
        "engine.privacy",
        "engine.request",
        "errors",
        "extensions",
        "invalidation",
        "invalidation.log",
        "learning",
        "process",
        "recording",
        "rollout",
        "rollout.flags",
        "stores",
        "stores.memory",
        "stores.redis",
        "telemetry",
    },
    "introspection": {
        "engine.core",
        "engine.flows",
        "engine.model",
        "engine.privacy",
        "engine.request",
        "errors",
        "http",
        "invalidation",
        "process",
        "stores.redis",
        "wiring",
    },
    "frontdoor": {
        "config",
        "engine.core",
        "engine.flows",
        "engine.keeping",
        "engine.lookup",
        "engine.model",
        "engine.privacy",
        "engine.request",
        "errors",
        "http",
        "introspection",
        "process",
        "recording",
        "telemetry",
        "wiring",
    },
    "cache": {
        "config",
        "extensions",
        "introspection",
        "invalidation",
        "process",
        "rollout",
        "rollout.flags",
        "stores.memory",
        "telemetry",
        "wiring",
    },
    "cachemw": {
        "cache",
        "config",
        "errors",
        "invalidation",
        "recording",
    },
    "asgi": {"cache", "frontdoor"},
    "wsgi": {"cache", "frontdoor", "http"},
    "starlette": {"asgi"},
    "django": {
        "cache",
        "config",
        "config.checks",
        "engine.privacy",
        "engine.request",
        "errors",
        "extensions",
        "frontdoor",
        "http",
        "django.recording",
        "process",
        "recording",
        "telemetry",
    },
    "django.recording": {
        "cache",
        "engine.model",
        "http",
        "process",
        "recording",
        "recording.sql",
        "recording.sql.functions",
    },
    "django.admin": {
        "cache",
        "django",
        "engine.core",
        "engine.request",
        "errors",
        "introspection",
        "invalidation",
        "process",
        "telemetry",
    },
    "django.management": set(),
    "django.management.commands": {"cli", "django"},
    "django.migrations": set(),
    "django.templatetags": {"cachemw"},
    "integrations": {
        "cachemw",
        "engine.model",
        "http",
        "recording",
        "recording.sql",
        "recording.sql.functions",
    },
    "openfeature": {"cachemw", "config.syntax", "process", "rollout.flags"},
    "testing": {"cache", "config.syntax", "engine.model", "errors", "stores"},
    "ops": set(),
    "ops.load": set(),
    "cli": {
        "cache",
        "cachemw",
        "cli.common",
        "cli.demo",
        "config",
        "config.checks",
        "config.syntax",
        "connections",
        "engine.core",
        "errors",
        "extensions",
        "introspection",
        "invalidation",
        "process",
        "rollout",
        "rollout.flags",
        "telemetry",
    },
    "cli.common": {
        "cache",
        "config",
        "connections",
        "errors",
        "invalidation.log",
        "process",
        "rollout.flags",
    },
    "cli.demo": {"cache", "cachemw", "cli.common", "config", "ops.load", "rollout", "testing"},
    "__main__": {"cli"},
}
"""What each folder, or module of the root, may import beside itself: from the ground up."""


def test_the_walk_sees_what_is_there() -> None:
    """So that an empty list below cannot mean that nothing was looked at."""
    assert "cachemw.engine.core.flights" in own("cachemw.engine.flows.on_request")
    assert "cachemw.http.invalidation" in own("cachemw.engine.flows.on_request")
    assert "asyncio" in foreign("cachemw.wiring.effects")
    assert len(modules_in("http", "engine")) > 40


def test_the_root_holds_only_what_is_listed() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("name", sorted({place(module) for module in MODULES}))
def test_a_folder_imports_exactly_what_it_is_listed_to_import(name: str) -> None:
    """An import that is not listed has to be thought about; a listed one that is gone is taken out."""
    found = {
        place(other) or "cachemw"
        for module in MODULES
        if place(module) == name
        for other in own(module)
        if place(other) != name
    }
    assert found == MAY_IMPORT[name or "cachemw"]


def test_every_folder_is_listed_once() -> None:
    assert {place(module) or "cachemw" for module in MODULES} == set(MAY_IMPORT)


def test_no_modules_import_each_other() -> None:
    assert circles({module: own(module) for module in MODULES}) == []


def test_no_folders_import_each_other() -> None:
    assert circles(MAY_IMPORT) == []


MOST_MODULES = 13
CROWDED = {"http": (18, "one file for each thing that HTTP has a name for")}


def test_no_folder_is_crowded() -> None:
    counts = Counter(place(module) for module in MODULES if module not in PACKAGES)
    crowded = {name: count for name, count in counts.items() if count > MOST_MODULES}
    assert crowded == {name: count for name, (count, _) in CROWDED.items()}


# Who may know whom --------------------------------------------------------------------------------

SIBLINGS = ("stores", "invalidation", "rollout", "telemetry", "learning")
TOOLS = ("cli", "testing", "django.admin", "openfeature")


def siblings_of(module: str) -> set[str]:
    """Return the siblings that a module imports, other than its own."""
    tops = {place(other).partition(".")[0] for other in own(module)}
    return tops & set(SIBLINGS) - {place(module).partition(".")[0]}


def test_only_wiring_joins_siblings() -> None:
    """Stores, log, rollout and telemetry know nothing of each other; faces and tools show them all."""
    joining = {place(module) for module in MODULES if len(siblings_of(module)) > 1}
    faces = {"cache", "", "introspection"}
    assert {each for each in joining - faces if not each.startswith(TOOLS)} == {"wiring"}


def test_siblings_import_no_sibling() -> None:
    for module in modules_in(*SIBLINGS):
        assert not siblings_of(module), module


def importers(name: str) -> set[str]:
    """Return the places outside a folder that import from it."""
    return {
        place(module)
        for module in MODULES
        for other in own(module)
        if f"{place(other)}.".startswith(f"{name}.")
        and not f"{place(module)}.".startswith(f"{name}.")
    }


def test_few_import_the_wiring() -> None:
    assert importers("wiring") == {"cache", "frontdoor", "introspection"}


DOORS = ("asgi", "wsgi", "starlette", "django")


def test_a_front_door_knows_only_what_doors_share() -> None:
    allowed = {
        "cachemw.cache",
        "cachemw.errors",
        "cachemw.http.fields",
        "cachemw.http.messages",
        "cachemw.telemetry.spans",
    }
    for module in (
        "cachemw.asgi",
        "cachemw.wsgi",
        "cachemw.django.middleware",
        "cachemw.django.response_relay",
    ):
        strangers = {
            other
            for other in own(module) - allowed
            if not other.startswith(("cachemw.frontdoor.", "cachemw.django."))
        }
        assert not strangers, module


def test_nothing_imports_a_front_door() -> None:
    assert importers("asgi") == {"starlette"}
    assert importers("wsgi") == importers("starlette") == set()
    assert importers("django") == set()


MOST_LINES_OF_A_DOOR = 200


@pytest.mark.parametrize("door", ["asgi.py", "wsgi.py", "starlette.py", "django/middleware.py"])
def test_a_front_door_is_thin(door: str) -> None:
    assert len((PACKAGE / door).read_text("utf-8").splitlines()) <= MOST_LINES_OF_A_DOOR


def test_nothing_imports_the_tools_but_the_tools() -> None:
    assert importers("cli") == {"__main__", "django.management.commands"}
    assert importers("ops") == {"cli.demo"}
    assert importers("testing") <= {"cli", "cli.demo", "ops", "ops.load"}
    assert importers("dashboard") <= {"cli"}


def test_tools_work_with_the_face() -> None:
    """What operates a cache, or shows it, uses what its users have."""
    allowed = (
        "cachemw.cache",
        "cachemw.telemetry",
        "cachemw.errors",
        "cachemw.testing",
        "cachemw.ops",
    )
    for module in modules_in("ops", "dashboard"):
        assert not {o for o in own(module) if not f"{o}.".startswith(allowed)}, module


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
    "ipaddress",  # text to numbers
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
READS_FILES = {
    "cachemw.config.sources": {"os", "pathlib", "tomllib"},
    "cachemw.config.checks.url_options": {"os"},
}
"""What the core's imports reach and that reads files: configurations, and whether those of TLS are there."""

NOW = {"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "localtime", "mktime"}
"""Functions that ask a clock, or the machine's time zone."""
LOCKS = {"Lock"}
"""All that the core may take from `threading`: it starts no thread and waits for none."""
WORLD = {"open", "print", "input", "exec", "eval", "__import__"}


def reached(start: list[str]) -> set[str]:
    """Return these modules, and all modules of the package that they lead to."""
    found: set[str] = set()
    ahead = list(start)
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead += own(module)
    return found


def test_the_core_imports_nothing_that_touches_the_world() -> None:
    """No clock, no I/O, no framework, no Redis, no logging, no asyncio; nor does what it imports."""
    for module in reached(modules_in("http", "engine")):
        strangers = foreign(module) - PURE - READS_FILES.get(module, set())
        assert not strangers, f"{module} imports {sorted(strangers)}"


def test_the_core_reaches_only_config_and_errors() -> None:
    tops = {place(module).partition(".")[0] for module in reached(modules_in("http", "engine"))}
    assert tops == {"http", "engine", "config", "errors"}


@pytest.mark.parametrize("module", modules_in("http", "engine"))
def test_the_core_asks_no_clock_and_starts_nothing(module: str) -> None:
    for node, _ in walk(MODULES[module]):
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


@pytest.mark.parametrize("module", modules_in("http", "engine"))
def test_the_core_has_no_coroutine_but_the_driver(module: str) -> None:
    asynchronous = [
        node
        for node, _ in walk(MODULES[module])
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert bool(asynchronous) is (module == "cachemw.engine.core.drivers")


DISK = {"io", "os", "pathlib", "shutil", "tempfile"}


@pytest.mark.parametrize("module", modules_in("rollout"))
def test_one_module_of_the_rollout_touches_files(module: str) -> None:
    called = {
        ast.unparse(node.func) for node, _ in walk(MODULES[module]) if isinstance(node, ast.Call)
    }
    touches = bool(foreign(module) & DISK) or "open" in called
    assert touches is (module == "cachemw.rollout.flags.files")


# Sizes --------------------------------------------------------------------------------------------

MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_PARAMETERS = 420, 45, 8
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
MANY_PARAMETERS: dict[str, str] = {}


def test_no_module_is_long() -> None:
    long = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "examples")
        and len(path.read_text("utf-8").splitlines()) > MOST_LINES
    }
    assert long == set(LONG_MODULES)


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function with its dotted name."""
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module}.{node.name}", node


def test_no_function_is_long() -> None:
    long = {
        name
        for name, node in functions()
        if (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert long == set(LONG_FUNCTIONS)


def test_no_function_takes_many_parameters() -> None:
    many = set()
    for name, node in functions():
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if len([each for each in given if each.arg not in ("self", "cls")]) > MOST_PARAMETERS:
            many.add(name)
    assert many == set(MANY_PARAMETERS)


# Names --------------------------------------------------------------------------------------------

_COMMAND = "a command's module is named as the command is typed"
_WIRING = "a module of wiring is named for the part that it makes"
TWIN_MODULES = {
    "cachemw": "Django's command, and its library of tags, are called as a project calls them",
    "base": "the protocol of a folder: stores, invalidation",
    "controller": _COMMAND,
    "decisions": "of a request in the engine, of a rollout",
    "effects": _WIRING,
    "engine": _WIRING,
    "explain": _COMMAND,
    "flags": _COMMAND,
    "messages": "of HTTP, and of a configuration's mistakes",
    "rollout": f"{_COMMAND}; {_WIRING}",
    "stats": _COMMAND,
    "storing": "the rules of HTTP, and what the engine does by them",
    "tags": _COMMAND,
    "tier": "each store is a tier: memory, redis",
}
TWIN_CLASSES = {
    "Cache": "Django's model is named for its permissions and its page in the admin",
    "CacheMiddleware": "every front door is called so",
}


def test_modules_have_names_of_their_own() -> None:
    """So that a name says where one is."""
    names = Counter(m.rpartition(".")[2] for m in MODULES if m not in PACKAGES)
    twins = {name for name, count in names.items() if count > 1}
    assert twins == set(TWIN_MODULES), "rename it, or list it in TWIN_MODULES with the reason"


def test_classes_have_names_of_their_own() -> None:
    names = Counter(
        node.name
        for tree in MODULES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "Meta"
    )
    assert {name for name, count in names.items() if count > 1} == set(TWIN_CLASSES)


CACHE = {
    "aclose",
    "apurge",
    "close",
    "config",
    "explain",
    "flags",
    "fleet_stats",
    "from_dict",
    "from_file",
    "inspection",
    "log",
    "memory",
    "mismatches",
    "preview",
    "purge",
    "rollout",
    "start",
    "stats",
}


def test_the_cache_shows_what_its_page_documents() -> None:
    assert {name for name in vars(cachemw.Cache) if not name.startswith("_")} == CACHE
    made = cachemw.Cache.from_dict({"routes": []})
    assert {name for name in vars(made) if not name.startswith("_")} == set()
    page = Path(__file__).parents[1] / "docs" / "cache-object.md"
    assert set(re.findall(r"^\| `(?:await )?(\w+)", page.read_text("utf-8"), re.M)) == CACHE


@pytest.mark.parametrize("package", sorted(PACKAGES - {"cachemw", "cachemw.django.migrations"}))
def test_a_folder_names_its_modules(package: str) -> None:
    """The docstring is the map of the folder: it cannot go stale."""
    described = ast.get_docstring(MODULES[package]) or ""
    inner = {
        module.rpartition(".")[2]
        for module in MODULES
        if module.rpartition(".")[0] == package and not module.endswith(".migrations")
    }
    missing = {name for name in inner if f"`{name}`" not in described}
    assert not missing, f"{package}: name them in its docstring, in reading order"


RIDDLES = re.compile(r"(Give|Say|Tell what|What|Hear|Let|Have)\b")


def test_docstrings_begin_with_plain_words() -> None:
    """PEP 257: Return, Check, Store, Tell whether."""
    riddles = [
        f"{module}:{getattr(node, 'lineno', 1)} {docstring.splitlines()[0]}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        and (docstring := ast.get_docstring(node))
        and RIDDLES.match(docstring)
    ]
    assert riddles == []
