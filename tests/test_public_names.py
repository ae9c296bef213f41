"""The public surface, listed: what is here is promised, what is not here is nobody's to rely on."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import cachemw

PUBLIC = {
    "cachemw": [
        "Cache",
        "CacheError",
        "Config",
        "ConfigError",
        "EntryRejected",
        "Kind",
        "PurgeResult",
        "RolloutError",
        "Route",
        "StoreError",
        "StoreUnavailable",
        "TagError",
        "__version__",
        "depends_on",
        "hole",
        "tag",
        "tagged",
        "unrecorded",
    ],
    "cachemw.asgi": ["CacheMiddleware"],
    "cachemw.django": ["CacheMiddleware", "get_cache"],
    "cachemw.integrations.flask_wtf": ["follow_forms", "visitor"],
    "cachemw.integrations.sqlalchemy": ["Recorder", "record"],
    "cachemw.openfeature": ["CachemwProvider", "Driver"],
    "cachemw.starlette": ["CacheMiddleware"],
    "cachemw.testing": [
        "CacheOffMixin",
        "ChaosProxy",
        "ChaosStore",
        "EmptyCacheMixin",
        "FakeClock",
        "RedisCluster",
        "RedisSentinel",
        "RedisServer",
        "ServerStartError",
        "caches_off",
        "chaos",
        "empty_caches",
    ],
    "cachemw.wsgi": ["CacheMiddleware"],
}


@pytest.mark.parametrize(("module", "names"), PUBLIC.items(), ids=list(PUBLIC))
def test_a_public_module_has_these_names(module: str, names: list[str]) -> None:
    imported = importlib.import_module(module)
    assert sorted(imported.__all__) == names
    for name in names:
        assert getattr(imported, name) is not None


def test_a_front_door_is_called_alike_everywhere() -> None:
    """The door that is added to Starlette is the one for any ASGI application."""
    doors = {module for module, names in PUBLIC.items() if "CacheMiddleware" in names}
    assert doors == {"cachemw.asgi", "cachemw.django", "cachemw.starlette", "cachemw.wsgi"}
    asgi, starlette = (
        importlib.import_module(name) for name in ("cachemw.asgi", "cachemw.starlette")
    )
    assert asgi.CacheMiddleware is starlette.CacheMiddleware


def test_the_cache_can_do_this() -> None:
    names = {name for name in vars(cachemw.Cache) if not name.startswith("_")}
    assert names >= {
        "aclose",
        "apurge",
        "close",
        "from_dict",
        "from_file",
        "preview",
        "purge",
        "start",
        "stats",
    }


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        ("ConfigError", "CacheError"),
        ("StoreError", "CacheError"),
        ("StoreUnavailable", "StoreError"),
        ("EntryRejected", "StoreError"),
        ("RolloutError", "CacheError"),
        ("TagError", "CacheError"),
    ],
)
def test_errors_have_one_root(error: str, parent: str) -> None:
    assert issubclass(getattr(cachemw, error), getattr(cachemw, parent))
    assert issubclass(getattr(cachemw, error), cachemw.CacheError)


def test_its_types_are_for_users_too() -> None:
    """PEP 561."""
    assert (Path(cachemw.__file__).parent / "py.typed").exists()
