"""Purges of one cache: by an operator, and by unsafe requests."""

from __future__ import annotations

from collections.abc import Iterable

from cachemw.engine.core.engine import Engine
from cachemw.engine.model.row_tags import plain
from cachemw.engine.request.urls import named_tags
from cachemw.invalidation.base import InvalidationLog
from cachemw.invalidation.graph import Graph
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.process.fork import notice_fork
from cachemw.process.threads import WorkerPool
from cachemw.stores.memory.tier import MemoryTier
from cachemw.telemetry.reporter import Reporter

__all__ = ["Purger"]

_CHANGE_WAIT = 0.02
"""Seconds that the response to an unsafe request waits for other processes to apply its purge."""


class Purger:
    """Purges entries, in this process and in all that follow the same log."""

    def __init__(
        self,
        engine: Engine,
        graph: Graph,
        log: InvalidationLog,
        memory: MemoryTier,
        workers: WorkerPool,
        reporter: Reporter,
    ) -> None:
        self._engine = engine
        self._graph = graph
        self._log = log
        self._memory = memory
        self._workers = workers
        self._reporter = reporter

    def wanted(
        self,
        *,
        tags: Iterable[str],
        urls: Iterable[str],
        routes: Iterable[str],
        everything: bool,
        soft: bool = False,
    ) -> Purge:
        """Return the purge that these names ask for, with all that depends on them.

        Raises TagError for a tag that cannot be one, and ValueError for a purge of nothing.
        """
        names = named_tags(self._engine, tags=tags, urls=urls, routes=routes)
        if not names and not everything:
            raise ValueError("name at least one tag, URL or route, or say everything=True")
        return Purge(tags=None if everything else self._with_dependents(names), soft=soft)

    def _with_dependents(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return the tags and all that depends on them, without the texts that are keys of rows."""
        dependents = self._graph.dependents(plain(tags))
        return self._engine.row_tags.conceal(tuple(dict.fromkeys(tags + dependents)))

    def purge(self, wanted: Purge) -> PurgeResult:
        """Purge; block for at most the Redis deadline and `log.confirm_wait`."""
        self._count(wanted)
        result = self._log.purge(wanted)
        self._free(wanted)
        return result

    async def apurge(self, wanted: Purge) -> PurgeResult:
        """Purge as `purge` does, without blocking the event loop."""
        self._count(wanted)
        result = await self._log.apurge(wanted)
        self._free(wanted)
        return result

    def _count(self, wanted: Purge) -> None:
        notice_fork()
        self._reporter.count("purge", "everything" if wanted.tags is None else "tags")

    def _free(self, wanted: Purge) -> None:
        if wanted.tags is None:  # nothing will be served any more, but it still takes memory
            self._workers.submit(self._memory.tidy)

    # -- unsafe requests -------------------------------------------------------------------------

    def invalidate(self, tags: tuple[str, ...]) -> None:
        """Purge what an unsafe request changed (RFC 9111 §4.4), before its response goes out.

        Waits for a moment only, and no failure reaches the client.
        """
        notice_fork()
        self._reporter.count("purge", "change")
        try:
            self._log.purge(self._changed(tags))
        except Exception:
            self._reporter.logs.failed("invalidate_failed")

    async def ainvalidate(self, tags: tuple[str, ...]) -> None:
        """Purge as `invalidate` does, without blocking the event loop."""
        notice_fork()
        self._reporter.count("purge", "change")
        try:
            await self._log.apurge(self._changed(tags))
        except Exception:
            self._reporter.logs.failed("invalidate_failed")
        except BaseException:
            # The request was cancelled while the purge was on its way: nobody knows whether it
            # arrived, so it is sent once more (I5).
            if not self._workers.submit(lambda: self._log.purge(self._changed(tags))):
                self.invalidate(tags)
            raise

    def _changed(self, tags: tuple[str, ...]) -> Purge:
        return Purge(tags=self._with_dependents(tags), confirm_wait=_CHANGE_WAIT)
