"""The moves: what clients, writers, operators and mishaps do to the fleet, in any order."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from cachemw.invalidation.purges import PurgeResult
from cachemw.testing import ChaosProxy, RedisServer
from cachemw.testing.redis_protocol import ReplyError

from .application import PATHS, ROUTES, Application, route_of
from .fleet import BOUND, CREDENTIALS, SIZE, Answer, Fleet, Process, until
from .promises import Promises

__all__ = ["Machine"]

NUMBERS = itertools.count()
FLAG_LIMIT = 1.0
"""Seconds in which a flag reaches the fleet (I6)."""

processes = st.integers(0, SIZE - 1)
paths = st.sampled_from(PATHS)
askers = st.tuples(processes, st.sampled_from(CREDENTIALS), st.sampled_from(["", "de", "en"]))
manners = st.sampled_from(["path", "url", "route", "tag of all", "everything"])


class Machine(RuleBasedStateMachine):
    """The fleet and the model, side by side."""

    server: ClassVar[RedisServer]
    other: ClassVar[RedisServer]
    """The server that takes over at the next failover."""
    proxies: ClassVar[list[ChaosProxy]]
    found: ClassVar[list[str]]
    """What the machine found wrong, for whoever wants it to find something."""

    def __init__(self) -> None:
        super().__init__()
        self.app = Application()
        self.promises = Promises(self.app)
        self.fleet = Fleet(f"model-{next(NUMBERS)}", self.server, self.proxies, self.app)
        self.hanging = False

    def teardown(self) -> None:
        if self.hanging:
            self.server.resume()
        self.server.start()
        self.fleet.close()

    @property
    def whole(self) -> bool:
        """Whether nothing stands in any process's way."""
        return not self.promises.disturbed

    def _ask(self, index: int, path: str, credentials: dict[str, str], language: str) -> None:
        due = self.promises.due(index)
        process = self.fleet.processes[index]
        try:
            answer: Answer = process.get(path, credentials, language)
            self.promises.check(index, answer, due)
        except AssertionError as violation:
            self.found.append(str(violation))
            raise
        except Exception as error:
            self.found.append(f"I3: {error!r}")
            raise self.promises.violated(f"I3: a request raised {error!r}") from error

    def _purge(self, index: int, path: str, manner: str, soft: bool) -> None:
        process, route = self.fleet.processes[index], route_of(path)
        wanted: tuple[list[str], dict[str, Any]]
        match manner:
            case "path":
                wanted = [path], {"tags": [path[1:].replace("/", ":")]}
            case "url":
                wanted = [path], {"urls": [path]}
            case "route":
                wanted = [each for each in PATHS if route_of(each) == route], {"routes": [route]}
            case "tag of all":
                wanted = list(PATHS), {"tags": ["everywhere"]}
            case _:
                wanted = list(PATHS), {"everything": True}

        def purge() -> PurgeResult:
            return process.cache.purge(soft=soft, **wanted[1])

        self.promises.purge(index, wanted[0], soft, purge)

    # -- what clients do -----------------------------------------------------------------------------

    @rule(asker=askers, path=paths)
    def get(self, asker: tuple[int, dict[str, str], str], path: str) -> None:
        self._ask(asker[0], path, *asker[1:])

    @rule(path=paths, language=st.sampled_from(["", "de"]))
    def get_everywhere(self, path: str, language: str) -> None:
        """Ask anonymously in each process: what one has made is shared."""
        for index in range(SIZE):
            self._ask(index, path, {}, language)

    @rule(path=paths, crowd=st.lists(askers, min_size=2, max_size=6))
    def get_at_once(self, path: str, crowd: list[tuple[int, dict[str, str], str]]) -> None:
        """Ask together: followers must get what is theirs."""
        with ThreadPoolExecutor(len(crowd)) as pool:
            for asked in [pool.submit(self._ask, i, path, who, lang) for i, who, lang in crowd]:
                asked.result()

    # -- what writers and operators do ---------------------------------------------------------------

    @rule(path=paths)
    def write(self, path: str) -> None:
        self.app.versions[path] += 1

    @rule(index=processes, path=paths, manner=manners, soft=st.booleans())
    def purge(self, index: int, path: str, manner: str, soft: bool) -> None:
        self._purge(index, path, manner, soft)

    @rule(index=processes, path=paths, manner=manners, soft=st.booleans())
    def write_and_purge_and_get(self, index: int, path: str, manner: str, soft: bool) -> None:
        """Do what every application does, and look at once what is served everywhere."""
        self.get_everywhere(path, "")
        self.write(path)
        self._purge(index, path, manner, soft)
        self.get_everywhere(path, "")

    @rule(reader=processes, purger=processes, path=paths, manner=manners)
    def purge_while_an_answer_is_made(
        self, reader: int, purger: int, path: str, manner: str
    ) -> None:
        """Let a purge overtake an answer: it is dead when it arrives, everywhere."""

        def meanwhile() -> None:
            self.write(path)
            self._purge(purger, path, manner, soft=False)

        self.app.pausing = meanwhile
        self._ask(reader, path, {}, "")
        self.app.pausing = None
        self.get_everywhere(path, "")

    @precondition(lambda self: self.whole)
    @rule(
        index=processes, route=st.sampled_from(sorted(ROUTES)), state=st.sampled_from(["on", "off"])
    )
    def flip(self, index: int, route: str, state: str) -> None:
        flags = self.promises.flags
        self.promises.note(f"{route} is {state} in {index}")
        if not self.fleet.processes[index].cache.flags.set({f"route:{route}": state}):
            self.promises.disturbed |= set(range(SIZE))  # Redis was too slow: it is in doubt
            return
        flags[route] = state
        self._await_flags()

    def _await_flags(self) -> None:
        def known() -> bool:
            wanted = {f"route:{route}": state for route, state in self.promises.flags.items()}
            return all(
                wanted.items() <= process.cache.flags.states().items()
                for process in self.fleet.processes
            )

        until(known, FLAG_LIMIT)

    # -- what comes to pass --------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.05, 0.3, 0.6]))
    def wait(self, seconds: float) -> None:
        """Let time pass: the lifetimes, the windows and the limit are about as long."""
        self.promises.note(f"{seconds} s pass")
        time.sleep(seconds)

    @rule(index=processes)
    def forget(self, index: int) -> None:
        """Evict all that a process has in memory."""
        self.fleet.processes[index].cache.memory.clear()

    @rule(index=processes, seconds=st.sampled_from([-3600.0, -1.0, 0.0, 1.0, 3600.0]))
    def skew(self, index: int, seconds: float) -> None:
        self.promises.note(f"the clock of {index} is {seconds} s off")
        self.fleet.processes[index].clock.jumped = seconds

    @precondition(lambda self: self.whole)
    @rule(index=processes, seconds=st.sampled_from([0.0, 0.03]))
    def lag(self, index: int, seconds: float) -> None:
        """Slow a process's wire down: it hears late, but it hears, so it is waited for."""
        self.promises.note(f"the wire of {index} takes {seconds} s")
        self.fleet.processes[index].proxy.slow(seconds)

    @rule(index=processes)
    def begin_anew(self, index: int) -> None:
        """End a process and begin it: it knows nothing, and joins."""
        self.promises.note(f"{index} is begun anew")
        process = self.fleet.processes[index]
        process.end()
        self.promises.begun_anew(index)
        process.begin()

    @precondition(lambda self: self.server.running and not self.hanging)
    @rule(
        mishap=st.sampled_from(
            ["entries", "epoch", "log", "flush", "kill", "restart", "hang", "clients"]
        )
    )
    def break_redis(self, mishap: str) -> None:
        """Lose something in Redis, the whole of it, or the way to it."""
        if mishap == "entries":
            found: Any = self.server.command("KEYS", self.fleet.entries)
            if found:
                self.server.command("DEL", *found)
            return
        self._disturb(f"Redis: {mishap}", range(SIZE))
        self.promises.redis_lost |= mishap in ("flush", "kill", "restart")
        match mishap:
            case "epoch" | "log":
                self.server.command("DEL", self.fleet.key(mishap))
            case "flush":
                self.server.command("FLUSHALL")
            case "clients":
                self.server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            case _:
                self.hanging = mishap == "hang"
                getattr(self.server, mishap)()

    @rule(index=processes, mishap=st.sampled_from(["cut", "refuse", "swallow", "half_close"]))
    def break_wire(self, index: int, mishap: str) -> None:
        self._disturb(f"the wire of {index}: {mishap}", [index])
        getattr(self.fleet.processes[index].proxy, mishap)()

    @precondition(lambda self: self.server.running and not self.hanging)
    @rule(
        index=processes,
        further=st.integers(1, SIZE - 1),
        path=st.sampled_from(["/plain/1", "/varied/1"]),
        mishap=st.sampled_from(["refuse", "swallow"]),
        then=st.sampled_from(["wait", "heal", "flush"]),
    )
    def purge_behind_the_back_of_one(
        self, index: int, further: int, path: str, mishap: str, then: str
    ) -> None:
        """Purge what a process has that is cut off; ask it when its time is over, or when it is back.

        It may come back to a log that knows nothing of that purge any more.
        """
        self._ask(index, path, {}, "")
        self.break_wire(index, mishap)
        self.write(path)
        self._purge((index + further) % SIZE, path, "path", soft=False)
        if then == "flush":
            self.break_redis(then)
        if then == "wait":
            self.wait(BOUND)
        else:
            self.heal()
        self._ask(index, path, {}, "")

    @precondition(lambda self: self.whole and self.server.running and not self.hanging)
    @rule(purger=processes, path=paths, manner=manners, late=st.sampled_from([None, *range(SIZE)]))
    def fail_over_and_purge(self, purger: int, path: str, manner: str, late: int | None) -> None:
        """Let the replica take over, and purge at once; the name of one process leads there later.

        Nobody is disturbed: what is confirmed now, everybody must have applied.
        """
        self.promises.note(f"a planned failover; {late} is late")
        self.get_everywhere(path, "")
        self._replicate()
        self.other.command("REPLICAOF", "NO", "ONE")
        self.server.command("REPLICAOF", "127.0.0.1", self.other.port)
        type(self).server, type(self).other = self.other, self.server
        for index, proxy in enumerate(self.proxies):
            if index != late:
                proxy.lead_to(self.server.url)
        self.write(path)
        self._purge(purger, path, manner, soft=False)
        self.get_everywhere(path, "")
        if late is not None:
            self.proxies[late].lead_to(self.server.url)
        fleet = self.fleet.processes
        until(lambda: all(process.live and not process.queued for process in fleet))
        self.get_everywhere(path, "")

    def _replicate(self) -> None:
        """Make the other server a replica that has all."""
        self.other.command("REPLICAOF", "127.0.0.1", self.server.port)
        mark = str(time.monotonic()).encode()
        self.server.command("SET", "mark", mark)
        until(lambda: self._has(mark))

    def _has(self, mark: bytes) -> bool:
        with suppress(OSError, ReplyError):  # LOADING
            return self.other.command("GET", "mark") == mark
        return False

    @precondition(lambda self: not self.whole)
    @rule()
    def heal(self) -> None:
        """Mend everything, and wait until each process has heard all."""
        if self.hanging:
            self.server.resume()
            self.hanging = False
        self.server.start()
        for process in self.fleet.processes:
            process.proxy.normal()
        fleet = self.fleet.processes
        until(lambda: all(process.live and not process.queued for process in fleet))
        # Two, by two processes: each is waited for by one of them.
        for process in fleet[:2]:
            until(_reaches_all(process))
        self.promises.caught_up()
        self.promises.note("all is mended")
        self._await_flags()

    def _disturb(self, event: str, indexes: Any) -> None:
        self.promises.note(event)
        self.promises.disturbed |= set(indexes)


def _reaches_all(process: Process) -> Callable[[], bool]:
    return lambda: process.cache.purge(tags=["fence"]).reached == SIZE
