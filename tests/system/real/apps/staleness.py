"""After a change: whether every worker answers at once what the site without the cache answers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence

from tests.system.real.compare import answer_differences, without_cookies
from tests.system.real.crawl import Answer, Visitor, revisit
from tests.system.real.servers import Server

from .checks import Crowd, report_of
from .django_sites import WORKERS
from .people import Person, visitors

__all__ = ["fill", "same_for", "wake"]

SECONDS = 30.0


def same_for(
    crowd: Crowd, people: Sequence[Person], targets: Sequence[str], workers: int = WORKERS
) -> None:
    """See to it that people get from every worker what they get without the cache."""
    found = [
        f"{person.name} {fault}"
        for person in people
        for fault in stale(crowd, person, targets, workers)
    ]
    assert not found, report_of(found)


def stale(crowd: Crowd, person: Person, targets: Sequence[str], workers: int) -> list[str]:
    """Name every difference between what the workers answer to a person and what is so by now."""
    [visitor] = visitors([person], crowd.admit)
    if not person.is_stranger:
        workers = 1  # Whoever has a session goes past the cache, in each worker alike.
    found = []
    for target in targets:
        right = asyncio.run(revisit(crowd.off, visitor, [target]))
        for answer in ask_all_workers(crowd.on, visitor, target, workers):
            seen = without_cookies({target: answer}, crowd.dropped)[target]
            wanted = without_cookies(right, crowd.dropped)[target]
            found += [
                f"{target}: {fault}"
                for fault in answer_differences(wanted, seen, crowd.fields, crowd.texts)
            ]
    return found


def fill(crowd: Crowd, person: Person, targets: Iterable[str], workers: int = WORKERS) -> None:
    """Let every worker hold what it may of these pages."""
    [visitor] = visitors([person], crowd.admit)
    for target in targets:
        for _ in range(2):
            ask_all_workers(crowd.on, visitor, target, workers)


def wake(server: Server, target: str, workers: int = WORKERS) -> None:
    """Let every worker make a page, one request at a time: some pages need that the first time."""
    seen: set[str] = set()
    deadline = time.monotonic() + SECONDS
    for number in itertools.count():
        if len(seen) == workers:
            return
        assert time.monotonic() < deadline, seen
        # A query that nobody asked before: what another worker made would else be served as a hit.
        with server.client() as client:
            answer = client.get(target, params={"wake": str(number)})
            assert "hit" not in answer.headers.get("cache-status", ""), answer.headers
            seen.add(answer.headers.get("x-worker", ""))


def ask_all_workers(server: Server, visitor: Visitor, target: str, workers: int) -> list[Answer]:
    """Ask in bursts until each worker has answered; give every answer."""
    answers: list[Answer] = []
    deadline = time.monotonic() + SECONDS
    while len({answer.first(b"x-worker") for answer in answers}) < workers:
        assert time.monotonic() < deadline, [answer.headers for answer in answers]
        answers += asyncio.run(burst(server, visitor, target, 1 if workers == 1 else 4))
    return answers


async def burst(server: Server, visitor: Visitor, target: str, size: int) -> list[Answer]:
    """Ask for one target at once, over several connections."""
    passes = await asyncio.gather(*(revisit(server, visitor, [target]) for _ in range(size)))
    return [found[target] for found in passes]
