"""The process of one other cache: it measures a round of hits or of bare calls when it is told to.

Started as `python -m bench.peers.worker MODULE DISTRIBUTION...`. Each line on standard input is `hit`
or `bare`, and the answer is a line of JSON with the seconds. The first line of output has the
versions, or the error.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
from importlib.metadata import version
from typing import Any

from bench import asgi_calls, wsgi_calls
from bench.constants import STATUS, URLS
from bench.timing import Subject

__all__ = ["main"]

CALLS = 20
"""Calls per round: the slowest cache takes a millisecond for one."""


def _ask(app: Any, loop: asyncio.AbstractEventLoop, url: str, wsgi: bool) -> int:
    if wsgi:
        return int(wsgi_calls.ask(app, url)[0][:3])
    status: int = loop.run_until_complete(asgi_calls.ask(app, url))[0]["status"]
    return status


def _prepare(module: str, loop: asyncio.AbstractEventLoop) -> tuple[Subject, list[str]]:
    """Set up the cache and fill it; raises RuntimeError if it does not answer as it should."""
    setup = importlib.import_module(module)
    calls: list[str] = []
    app, wsgi = setup.make(calls, loop), getattr(setup, "WSGI", False)
    for url in (*URLS, *URLS):
        if (status := _ask(app, loop, url, wsgi)) != STATUS:
            raise RuntimeError(f"it answered {url} with {status}")
    if len(calls) != len(URLS):
        raise RuntimeError(
            f"{len(calls)} of {2 * len(URLS)} requests reached the application, expected {len(URLS)}"
        )
    if wsgi:
        return wsgi_calls.subject("hit", app, calls=CALLS), calls
    return asgi_calls.subject("hit", app, loop, calls=CALLS), calls


def main(module: str, *distributions: str) -> None:
    """Measure rounds until standard input ends."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        hit, calls = _prepare(module, loop)
        versions = {name: version(name) for name in distributions}
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    bare = asgi_calls.subject("bare", asgi_calls.bare, loop, calls=10 * CALLS)
    rounds = {"hit": hit.round, "bare": bare.round}
    print(json.dumps({"versions": versions}), flush=True)
    gc.collect()
    for line in sys.stdin:
        seconds = rounds[line.strip()]()
        if len(calls) != len(URLS):
            print(json.dumps({"error": "a hit reached the application"}), flush=True)
            return
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
