"""The drill after the rollback: workers that start while Valkey is away.

What was rolled back must stay off, also in a process that can ask nobody. Before the drill, one other
risk class is turned on by hand. A cache that answers nothing at all would pass otherwise.

1. Valkey is away, and a worker is killed. The next one learns from its machine's mirror what is off.
2. The mirror is deleted, and that worker is killed. The next one knows nothing, and lets nothing in.
3. Valkey is back. That worker learns what is off.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cachemw.cache import Cache
from cachemw.cli.demo.processes import START_SECONDS
from cachemw.ops.load.client import Connection, Pool, RequestError

if TYPE_CHECKING:
    from cachemw.testing import ChaosProxy

__all__ = ["RestartDrill", "RestartResult"]

ROLLED_BACK: Final = ("/products/1", "/catalog")
"""Pages of medium risk: the phase that the rollout takes back."""
TURNED_ON: Final = "/metrics"
BY_HAND: Final = {"low": "on", "holdout": "0%"}
TIMES: Final = 5
"""Requests for each page: the second one is a hit, if the page may come from the cache."""
_LOOK: Final = 0.05
"""Seconds between two looks at what the drill waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartResult:
    """The answers of workers that started while Valkey was away."""

    asked: int
    """Requests for pages that were rolled back."""
    served: int
    """Those of them that the cache answered."""
    others_served: int
    """Answers from the cache for a page that is on: the worker knew so from the mirror."""
    problem: str = ""
    """Why the drill could not go on; empty if it came to its end."""

    @property
    def met(self) -> bool:
        """Whether what was rolled back stayed off, and what is on was served."""
        return not self.problem and self.asked > 0 and not self.served and self.others_served > 0


class RestartDrill:
    """The drill on one shop; `mirror` is the file in which its workers keep the live flags."""

    def __init__(
        self, port: int, pool: Pool, mirror: Path, print_line: Callable[[str], None]
    ) -> None:
        self._port = port
        self._known = set(pool.processes)
        self._mirror = mirror
        self._print_line = print_line
        self._asked = self._served = self._others_served = 0

    async def run(self, cache: Cache, proxy: ChaosProxy) -> RestartResult:
        """Restart workers while their Valkey, behind `proxy`, is away. `cache` still reaches Valkey."""
        problem = ""
        try:
            async with asyncio.timeout(4 * START_SECONDS):
                await self._run(cache, proxy)
        except (RequestError, TimeoutError) as error:
            problem = str(error) or "the workers did not start in time"
        return RestartResult(
            asked=self._asked,
            served=self._served,
            others_served=self._others_served,
            problem=problem,
        )

    async def _run(self, cache: Cache, proxy: ChaosProxy) -> None:
        await asyncio.to_thread(cache.flags.set, BY_HAND)
        while _mirrored_revision(self._mirror) < cache.flags.live.revision:
            await asyncio.sleep(_LOOK)
        await asyncio.to_thread(proxy.refuse)
        self._print_line("[yellow]Valkey is away; workers are killed, others start.[/yellow]")
        worker = await self._restart(min(self._known))
        self._others_served += await self._ask_all(
            worker, "A worker that has its machine's mirror of the flags"
        )
        self._mirror.unlink()
        worker = await self._restart(self._last_started)
        await self._ask_all(worker, "A worker that has no mirror, and lets nothing in")
        await asyncio.to_thread(proxy.normal)
        while not await self._ask(worker, TURNED_ON):
            await asyncio.sleep(_LOOK)
        await self._ask_all(worker, "The same worker, now that Valkey is back")

    async def _restart(self, process: int) -> Connection:
        """Kill a worker, and return a connection to the one that its server starts in its place."""
        os.kill(process, signal.SIGKILL)
        while True:
            connection = Connection("127.0.0.1", self._port)
            try:
                reply = await connection.request("GET", "/healthcheck")
                started = json.loads(reply.body)["worker"]
            except RequestError:  # it may have reached the worker that was killed just now
                started = process
            if started not in self._known:
                self._known = (self._known - {process}) | {started}
                self._last_started = started
                return connection
            connection.close()
            await asyncio.sleep(_LOOK)

    async def _ask_all(self, worker: Connection, which: str) -> int:
        """Ask a worker for every page, some times; return how often the cache gave the one that is on."""
        statuses = []
        for path in ROLLED_BACK:
            for _ in range(TIMES):
                self._asked += 1
                self._served += await self._ask(worker, path)
            statuses.append(f"  {path}: {self._status}")
        others = sum([await self._ask(worker, TURNED_ON) for _ in range(TIMES)])
        statuses.append(f"  {TURNED_ON}, which is on: {self._status}")
        for line in (f"{which}:", *statuses):
            self._print_line(line)
        return others

    async def _ask(self, worker: Connection, path: str) -> bool:
        """Return whether the cache answered."""
        reply = await worker.request("GET", path)
        if reply.status != 200:
            raise RequestError(f"GET {path}: status {reply.status}")
        self._status = reply.headers.get("cache-status", "")
        return "; hit" in self._status


def _mirrored_revision(mirror: Path) -> int:
    """Return the revision of the live flags in a mirror; -1 without a mirror."""
    try:
        revision: int = json.loads(mirror.read_bytes())["flags"]["revision"]
    except OSError:
        return -1
    return revision
