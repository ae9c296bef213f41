"""The fixtures, in a run of pytest as a project starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = """
pytest_plugins = ["cachemw.testing.pytest_plugin"]
"""
TESTS = """
import pytest
from cachemw import Cache
from cachemw.wsgi import CacheMiddleware

cache = Cache.from_dict({"routes": [{"path": "/p", "ttl": "60s", "cookies": []}]})


def application(environ, start_response):
    start_response("200 OK", [])
    return [b"page"]


def get():
    found = {}

    def start_response(status, headers, exc_info=None):
        found.update(headers)

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/p", "HTTP_HOST": "a", "wsgi.url_scheme": "http"}
    assert list(CacheMiddleware(application, cache)(environ, start_response)) == [b"page"]
    return {name.lower(): value for name, value in found.items()}["cache-status"]


def test_first():
    assert "stored" in get()


def test_second_without_the_fixture():
    assert "; hit" in get()


@pytest.mark.usefixtures("empty_cache")
def test_third_begins_with_empty_caches():
    assert "uri-miss; stored" in get()


@pytest.mark.usefixtures("cache_off")
def test_fourth_runs_without_caches():
    assert "detail=off" in get()


def test_fifth_runs_with_them_again():
    assert "; hit" in get()
"""


def test_the_fixtures_empty_and_switch_off(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_project.py").write_text(TESTS, encoding="utf-8")
    options = [
        "-q",
        "-p",
        "no:valkey",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:randomly",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
