"""Which servers reload the application: recognised in the process that serves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from cachemw.process import development
from cachemw.process.development import reloading_server
from tests.support.waiting import until

SITE = """
from pathlib import Path
from cachemw import Cache
from cachemw.asgi import CacheMiddleware
from cachemw.process.development import reloading_server

TEMPLATE = Path(__file__).with_name("template.html")

async def page(scope, receive, send):
    body = f"{reloading_server()} {TEMPLATE.read_text()}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})

app = CacheMiddleware(page, Cache.from_dict({"routes": [{"path": "/", "ttl": "60s"}]}))

if __name__ == "__main__":
    import uvicorn
    uvicorn.run("site_of_test:app", port=0, reload=True, lifespan="off")
"""
UVICORN = ("-m", "uvicorn", "site_of_test:app", "--port", "0", "--lifespan", "off")


def edit(folder: Path, text: str) -> None:
    (folder / "template.html").write_text(text, encoding="utf-8")


@contextmanager
def served(folder: Path, *command: str) -> Iterator[int]:
    """Give the port of a server in a process group of its own."""
    (folder / "site_of_test.py").write_text(SITE, encoding="utf-8")
    edit(folder, "old")
    log = folder / "log"
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        found: list[str] = []

        def listens() -> bool:
            text = log.read_text(encoding="utf-8")
            found[:] = re.findall(r"running on http://127\.0\.0\.1:(\d+)", text)
            return bool(found)

        until(listens)
        yield int(found[0])
    finally:
        process.terminate()
        process.wait()


def answer(port: int) -> bytes:
    found: list[bytes] = []

    def answered() -> bool:  # uvicorn's parent binds and tells; its workers listen a moment later
        with suppress(URLError), urlopen(f"http://127.0.0.1:{port}/") as response:
            found.append(response.read())
        return bool(found)

    until(answered)
    return found[0]


def test_under_uvicorn_with_reload_an_edited_template_shows_at_once(tmp_path: Path) -> None:
    # The server does not restart for a template, so memory would still have the page.
    with served(tmp_path, *UVICORN, "--reload") as port:
        assert answer(port) == b"uvicorn old"
        edit(tmp_path, "new")
        assert answer(port) == b"uvicorn new"


def test_uvicorn_that_is_run_by_a_program_with_reload_is_recognised(tmp_path: Path) -> None:
    # Guard: `_reloads`. The command line does not tell.
    with served(tmp_path, "site_of_test.py") as port:
        assert answer(port) == b"uvicorn old"


@pytest.mark.thorough
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])
def test_uvicorn_without_reload_is_not(tmp_path: Path, workers: tuple[str, ...]) -> None:
    with served(tmp_path, *UVICORN, *workers) as port:
        assert answer(port) == b"None old"
        edit(tmp_path, "new")
        assert answer(port) == b"None old" or workers  # another worker has a memory of its own


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["/venv/bin/gunicorn", "--reload", "app"], "gunicorn"),
        (["/venv/bin/hypercorn", "app", "--reload"], "hypercorn"),
        (["/venv/lib/gunicorn/__main__.py", "--reload", "app"], "gunicorn"),
        (["/venv/bin/gunicorn", "app"], None),
        (["/venv/bin/deploy", "--reload"], None),
        ([], None),
    ],
)
def test_the_command_line_tells(
    arguments: list[str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WERKZEUG_RUN_MAIN", raising=False)
    monkeypatch.setattr(development.sys, "argv", arguments)
    assert reloading_server() == found


def test_werkzeug_says_so_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    assert reloading_server() == "werkzeug"
