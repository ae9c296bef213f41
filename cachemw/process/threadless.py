"""Recognition of servers that run no threads between requests.

An older uWSGI (Debian 12 has 2.0.21) gives the interpreter threads only if it is told to: else it waits
with the interpreter's lock held. With its gevent loop, what looks like threads runs in that loop.
"""

from __future__ import annotations

import sys

__all__ = ["threads_missing"]


def threads_missing() -> tuple[str, str] | None:
    """Return the server that runs no threads and the option that changes it; None if threads run."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or getattr(uwsgi, "has_threads", True):
        return None
    options = getattr(uwsgi, "opt", {})
    return None if "gevent" in options else ("uwsgi", "enable-threads")
