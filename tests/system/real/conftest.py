"""The fixtures of this folder, where what they need is installed: the environment `real`."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

if all(find_spec(name) for name in ("datasette", "gunicorn", "httpx", "uvicorn", "wagtail")):
    from .fixtures import datasette, redis, wagtail  # noqa: F401
else:
    collect_ignore_glob = ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole", action="store_true", help="crawl the applications that take long too"
    )
