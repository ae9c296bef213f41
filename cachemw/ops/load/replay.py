"""The replay of traffic, which notes the result of each request.

Requests are sent when they are due, whether or not earlier ones have been answered. If the client
waited for answers instead, a slow server would get less traffic, and its slowness would not show.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cachemw.ops.load.client import Pool, Reply, RequestError
from cachemw.ops.load.staleness import BOUND, Versions, changed_versions, shown_versions
from cachemw.ops.load.traffic import Call, checks_after

__all__ = ["ORIGIN", "Replay", "Sample", "saturate"]

ORIGIN = "origin"
_DETAIL = re.compile(r"\bdetail=\"?([\w-]+)")


class Sample(NamedTuple):
    """The result of one request that succeeded."""

    kind: str
    due: float
    """When it had to be sent, in seconds from the start of the run."""
    seconds: float
    """From that time to the last byte, so a wait for a free connection counts."""
    tier: str
    """Where the answer came from: `origin`, or the detail of a hit in Cache-Status."""
    is_write: bool


@dataclass(slots=True)
class Replay:
    """One run over the traffic, and its results."""

    pool: Pool
    warm_up: float = 0.0
    """Seconds at the start whose requests are checked (failures, staleness) but not measured."""
    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    away: bool = False
    """Whether Valkey is away, or is about to be: then other processes may see a write late."""
    versions: Versions = field(default_factory=Versions)
    started: float = 0.0
    """The start of the run, on the monotonic clock."""

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run; 0 before it."""
        return time.monotonic() - self.started if self.started else 0.0

    async def run(self, calls: Iterable[Call]) -> None:
        """Send each call when it is due, whether or not earlier ones have been answered."""
        self.started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                await self._until(call.at)
                tasks.create_task(self._send(call, tasks))

    async def _until(self, due: float) -> None:
        if (wait := due - self.elapsed) > 0:
            await asyncio.sleep(wait)

    async def _send(self, call: Call, tasks: asyncio.TaskGroup) -> None:
        await self._until(call.at)  # a check after a write may be due later
        sent = self.elapsed
        try:
            reply = await self.pool.request(call.worker, call.method, call.path, call.body)
        except RequestError as error:
            self.failures.append(str(error))
            return
        answered = self.elapsed
        if reply.status != 200:
            self.failures.append(f"{call.method} {call.path}: status {reply.status}")
            return
        sample = Sample(call.kind, call.at, answered - call.at, _tier(reply), call.is_write)
        if call.at >= self.warm_up:
            self.samples.append(sample)
        if call.is_write:
            for check in self._record_write(call, reply, answered):
                tasks.create_task(self._send(check, tasks))
        else:
            shown = shown_versions(call.kind, call.path, reply.body)
            self.versions.check_read(call.path, shown, sent, worker=call.worker)

    def _record_write(self, call: Call, reply: Reply, answered: float) -> list[Call]:
        changed = changed_versions(call.kind, json.loads(reply.body))
        for subject, version in changed.items():
            self.versions.record_write(
                subject, version, answered, worker=call.worker, away=self.away
            )
        due = [
            answered + (0 if worker == call.worker else BOUND)
            for worker in range(self.pool.workers)
        ]
        return checks_after(list(changed), due)


def _tier(reply: Reply) -> str:
    status = reply.headers.get("cache-status", "")
    if "; hit" not in status:
        return ORIGIN
    detail = _DETAIL.search(status)
    return detail[1] if detail else "hit"


async def saturate(pool: Pool, calls: list[Call], *, at_once: int, seconds: float) -> float:
    """Send reads as fast as they are answered, and return the answers per second."""
    reads = iter([call for call in calls if not call.is_write])
    ends = time.monotonic() + seconds
    done = 0

    async def send_reads() -> None:
        nonlocal done
        for call in reads:
            if time.monotonic() >= ends:
                return
            await pool.request(call.worker, call.method, call.path)
            done += 1

    started = time.monotonic()
    await asyncio.gather(*(send_reads() for _ in range(at_once)))
    return done / (time.monotonic() - started)
