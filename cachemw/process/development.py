"""Recognition of servers that load the application anew when a file changes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import PurePath

__all__ = ["reloading_server"]

_BY_ARGUMENT = frozenset({"gunicorn", "hypercorn", "uvicorn"})
"""Servers whose workers see the command line of their parent, with `--reload`."""


def reloading_server() -> str | None:
    """Return the name of the server that reloads this process, or None.

    uvicorn runs its workers with `multiprocessing`, and hands each its configuration. That also tells
    of `uvicorn.run(..., reload=True)`, and of `fastapi dev`, whose command lines do not. Werkzeug, with
    `flask run --debug`, sets a variable in the process that serves.
    """
    if _reloads(multiprocessing.current_process()):
        return "uvicorn"
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        return "werkzeug"
    program = PurePath(sys.argv[0] if sys.argv else "")
    name = program.parent.name if program.name == "__main__.py" else program.stem
    return name if name in _BY_ARGUMENT and "--reload" in sys.argv else None


def _reloads(process: object) -> bool:
    """Tell whether uvicorn has started a process to reload it."""
    given: object = getattr(process, "_kwargs", None)
    config = given.get("config") if isinstance(given, dict) else None
    return type(config).__module__ == "uvicorn.config" and bool(getattr(config, "reload", False))
