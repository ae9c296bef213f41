"""The fixtures of this folder, where what they need is installed: the environment `real`."""

from __future__ import annotations

from importlib.util import find_spec

if all(find_spec(name) for name in ("datasette", "gunicorn", "httpx", "uvicorn", "wagtail")):
    from .fixtures import datasette, record, redis, wagtail  # noqa: F401
else:
    collect_ignore_glob = ["test_*.py"]
