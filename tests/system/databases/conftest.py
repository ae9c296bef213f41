"""The fixtures of this folder, where what they need is installed: the environment `databases`."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NEEDED = ("aiosqlite", "asyncpg", "django", "psycopg", "psycopg2", "pymysql", "sqlalchemy")

if all(find_spec(name) for name in NEEDED):
    from .fixtures import bench, figures, make_bench  # noqa: F401
else:
    collect_ignore_glob = ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole",
        action="store_const",
        const=1,
        dest="every",
        help="try every write in every way to commit, which takes an hour or longer",
    )
    parser.addoption(
        "--every",
        type=int,
        dest="every",
        help="try one of so many pairs of a write and a way",
    )
