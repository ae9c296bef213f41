"""The number of worker processes that the server runs beside this one.

A worker is not told how many there are. The number is where the operator wrote it: on the command line of
the server (this process or its parent), in `GUNICORN_CMD_ARGS`, or in `WEB_CONCURRENCY` (gunicorn, uvicorn).
uWSGI tells it by its own module.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["number_of_workers", "written_on"]

_LONG: Final = ("--workers", "--processes")
_SHORT: Final = re.compile(r"-w=?([0-9]+)", re.ASCII)


def number_of_workers(
    environ: Mapping[str, str] = os.environ, root: Path = Path("/")
) -> int | None:
    """Return the number of workers, or None if it is written nowhere."""
    uwsgi = sys.modules.get("uwsgi")
    written = [
        _positive(str(getattr(uwsgi, "numproc", ""))),
        *(written_on(_command_line(root, process)) for process in ("self", str(os.getppid()))),
        written_on(_split(environ.get("GUNICORN_CMD_ARGS", ""))),
        _positive(environ.get("WEB_CONCURRENCY", "")),
    ]
    return next(filter(None, written), None)


def written_on(words: Sequence[str]) -> int | None:
    """Return the number of workers on a command line, or None."""
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in (*_LONG, "-w"):
            return _positive(value or "".join(words[index + 1 : index + 2]))
        if found := _SHORT.fullmatch(word):
            return _positive(found[1])
    return None


def _positive(text: str) -> int | None:
    return int(text) or None if text.isascii() and text.isdecimal() and len(text) < 6 else None


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote without its end
        return []


def _command_line(root: Path, process: str) -> list[str]:
    try:
        return (
            (root / "proc" / process / "cmdline")
            .read_bytes()
            .decode("utf-8", "replace")
            .split("\0")
        )
    except OSError:
        return []
