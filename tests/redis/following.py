"""Looking at the log from outside: its keys, its records, and processes that follow it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cachemw import Cache
from cachemw.engine.model.entry import Verdict
from tests.support.caches import Site, options
from tests.support.calls import Response
from tests.support.waiting import LIMIT, until

__all__ = [
    "EPOCH",
    "FOLLOWERS",
    "STREAM",
    "held_up",
    "judged",
    "process",
    "records",
    "served_before_reading",
    "stop",
]

ROOT = Path(__file__).parents[2]
EPOCH = "cachemw:{shared}:epoch"
STREAM = "cachemw:{shared}:log"
FOLLOWERS = "cachemw:{shared}:followers"


def judged(cache: Cache, entry: Any) -> Verdict:
    return cache._core.engine.floors.judge(entry)


@contextmanager
def process(url: str, **changes: Any) -> Iterator[subprocess.Popen[str]]:
    """Run one more process that follows the log."""
    command = [sys.executable, "-m", "tests.redis.follower", json.dumps(options(url, **changes))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "live\n"
            yield child
        finally:
            child.kill()


def stop(child: subprocess.Popen[str]) -> None:
    """Stop a process, and wait until its last thread has stopped."""
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)


def records(server: Any) -> list[Any]:
    return list(server.command("XRANGE", STREAM, "-", "+"))


def served_before_reading(site: Site, path: str) -> list[Response]:
    """Collect the answer to a request that comes when the log is live, before it is read again."""
    log: Any = site.cache.log
    follow, answers = log._follow, list[Response]()

    def interposed(*connected: Any) -> None:
        if log.live and not answers:
            answers.append(site.get(path))
        follow(*connected)

    log._follow = interposed
    return answers


@contextmanager
def held_up(cache: Cache) -> Iterator[None]:
    """Keep a process that follows from reading on while the block runs."""
    log: Any = cache.log
    follow, waits, go_on = log._follow, threading.Event(), threading.Event()

    def interposed(*connected: Any) -> None:
        waits.set()
        go_on.wait(LIMIT)
        follow(*connected)

    log._follow = interposed
    try:
        until(waits.is_set)
        yield
    finally:
        log._follow = follow
        go_on.set()
