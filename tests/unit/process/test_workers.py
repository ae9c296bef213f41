"""The number of workers is found where operators write it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachemw.process.workers import number_of_workers, written_on


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("gunicorn -w 8 site.wsgi", 8),
        ("gunicorn -w8 site.wsgi", 8),
        ("gunicorn --workers=3 site.wsgi", 3),
        ("uvicorn site:app --workers 4 --port 80", 4),
        ("uwsgi --http :80 --processes 6", 6),
        ("uvicorn site:app --port 80", None),
        ("daphne -p 8000 site:app", None),
        ("gunicorn --workers", None),
        ("gunicorn -w many", None),
        ("gunicorn --workers 0", None),
        ("python -wall run.py", None),
        ("", None),
    ],
)
def test_a_command_line_says_it(line: str, count: int | None) -> None:
    assert written_on(line.split()) == count


def process(root: Path, name: str, *words: str) -> None:
    path = root / "proc" / name / "cmdline"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(word.encode() + b"\0" for word in words))


def test_the_server_is_the_parent_or_this_process_and_comes_before_the_environment(
    tmp_path: Path,
) -> None:
    environ = {"WEB_CONCURRENCY": "5"}
    assert number_of_workers({}, tmp_path) is None
    assert number_of_workers(environ, tmp_path) == 5
    assert number_of_workers({**environ, "GUNICORN_CMD_ARGS": "-b :80 --workers=7"}, tmp_path) == 7
    assert number_of_workers({"GUNICORN_CMD_ARGS": "--bind '"}, tmp_path) is None
    assert number_of_workers({"WEB_CONCURRENCY": "auto"}, tmp_path) is None
    process(tmp_path, str(os.getppid()), "gunicorn", "-w", "8", "site")
    assert number_of_workers(environ, tmp_path) == 8
    process(tmp_path, "self", "uvicorn", "--workers", "2")
    assert number_of_workers(environ, tmp_path) == 2


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux's /proc")
def test_a_real_child_reads_the_command_line_of_its_parent() -> None:
    child = "from cachemw.process.workers import number_of_workers as n; print(n({}))"
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent, "--workers", "3"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "3"
