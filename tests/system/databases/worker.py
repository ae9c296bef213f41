"""The process of one site: it writes, and it answers reads from its cache and past it, as it is told.

Orders come as lines of JSON on its standard input, and each is answered by a line. A write may pause
before its commit: the process then takes orders until one lets it go on. Reads have a thread of their
own, and so connections of their own: what a transaction has not committed they do not see.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from cachemw import Cache
from cachemw.recording.context import Recording, current

from .cases import Read, Way, Write

__all__ = ["NAMESPACE", "Answer", "Pause", "Site", "Worker", "configuration", "main", "pages_of"]

NAMESPACE = "library"
HIT = "; hit"
Answer = tuple[int, str, str]
"""Status, body and Cache-Status of a response."""
Pause = Callable[[str], None]
"""Called by a way to commit: `open` before the commit, `committed` as soon as it has happened."""


def configuration(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the site's cache."""
    config: dict[str, Any] = {
        "namespace": NAMESPACE,
        "routes": [
            {
                "name": "reads",
                "path": "/reads/{name}",
                "ttl": "1h",
                "negative_ttl": "1h",
                "cookies": [],
                "client_directives": "honour",
            }
        ],
        "recording": {
            "database": options.get("recording", True),
            # Those of `tables.FUNCTIONS` that only read; the others count as writing anything.
            "reading_functions": ["current_price", "quote_total", "search"],
        },
        "log_rate": 0,
    }
    if options.get("redis"):
        # The machine is shared and slow at times: a purge that is late would be a purge not confirmed.
        config["redis"] = {"url": options["redis"], "deadline": "2s"}
        config["log"] = {"poll": "40ms"}
    return config


class Site(Protocol):
    """An application over the library, and its cache."""

    cache: Cache
    reads: Mapping[str, Read]
    writes: Mapping[str, Write]
    ways: Mapping[str, Way]
    plain: Mapping[str, Read]
    """Reads that change nothing and depend on nothing."""
    unseen: Mapping[str, tuple[Read, Write]]
    """Reads, and writes that change what they read past every recorder."""

    def open(self) -> None:
        """Begin, in the thread that will read."""

    def ask(self, path: str, *, cached: bool, only_if_cached: bool = False) -> Answer:
        """Answer a request, in the thread that reads; not `cached`: without the middleware."""

    def carry_out(self, write: Write, way: Way, pause: Pause) -> None:
        """Write and commit, in the main thread. Raises what the application would not expect."""

    def overtake(self, name: str, write: Write) -> list[Answer]:
        """Commit a write between an outer middleware's first query and the view; return both answers.

        The first is that of the request which was overtaken, the second that of the next one.
        """

    def repeat(self, name: str, times: int) -> None:
        """Carry out a read or a write so many times, in the main thread."""

    def close(self) -> None:
        """Close connections."""


def pages_of(site: Site) -> list[Read]:
    """Return all that a site can be asked for, in the order of its pages."""
    return [*site.reads.values(), *site.plain.values(), *(read for read, _ in site.unseen.values())]


class Worker:
    """Carries out orders for one site."""

    def __init__(self, site: Site, lines: Iterator[str], say: Callable[[Any], None]) -> None:
        self._site = site
        self._lines = lines
        self._say = say
        self._reader = ThreadPoolExecutor(1)
        self._paths = {read.name: f"/reads/{i}" for i, read in enumerate(pages_of(site))}
        self._watched = list(site.reads)
        self._before: dict[str, list[Any]] = {}
        """What each read says while the database is as it was made."""
        self._kept: set[str] = set()
        """The reads whose answers are in the cache, as far as is known."""
        self._unconfirmed = 0
        self._watch_purges()

    def serve(self) -> None:
        """Carry out orders until there are no more."""
        self._read(self._site.open)
        self._say({"ready": True})
        self._obey()
        self._read(self._site.close)
        self._reader.shutdown()
        self._site.close()
        self._site.cache.close()

    def _obey(self) -> None:
        for line in self._lines:
            order = json.loads(line)
            if order["do"] == "go on":
                return
            try:
                answer = getattr(self, f"do_{order.pop('do')}")(**order)
            except Exception:
                answer = {"failed": traceback.format_exc()}
            self._say(answer)

    def _watch_purges(self) -> None:
        """Count the purges that are not confirmed."""
        log: Any = self._site.cache.log
        purge, apurge = log.purge, log.apurge

        def watched(wanted: Any) -> Any:
            result = purge(wanted)
            self._unconfirmed += not result.confirmed
            return result

        async def awatched(wanted: Any) -> Any:
            result = await apurge(wanted)
            self._unconfirmed += not result.confirmed
            return result

        log.purge, log.apurge = watched, awatched

    def _read(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the thread that reads."""
        return self._reader.submit(function, *args).result()

    def _stored(self, name: str) -> list[Any]:
        """Return what the database says, by the same view without the cache."""
        return list(self._site.ask(self._paths[name], cached=False)[:2])

    def _served(self, name: str) -> list[Any] | None:
        """Return what the cache would answer; None where the application would have to."""
        answer = self._site.ask(self._paths[name], cached=True, only_if_cached=True)
        return list(answer[:2]) if HIT in answer[2] else None

    # -- orders ----------------------------------------------------------------------------------

    def do_describe(self) -> Any:
        """Return what there is."""
        site = self._site
        return {
            "reads": list(site.reads),
            "writes": {
                name: {
                    "known": write.known,
                    "undo": list(write.undo),
                    "ways": [way.name for way in site.ways.values() if _go_together(write, way)],
                }
                for name, write in site.writes.items()
            },
            "ways": {name: way.known for name, way in site.ways.items()},
            "plain": list(site.plain),
            "unseen": list(site.unseen),
        }

    def do_learn(self) -> Any:
        """Note what each read says now; return the reads that fail, and those that purge something."""
        return self._read(self._learn)

    def _learn(self) -> Any:
        before = {name: self._stored(name) for name in self._watched}
        failing = {name: answer[1] for name, answer in before.items() if answer[0] >= 500}
        purging = [name for name in self._watched if self._purges(name)]
        # A page that purges others leaves nothing to look at: it is reported, and left out.
        self._watched = [each for each in before if each not in purging and each not in failing]
        self._before = before
        return {"failing": failing, "purging": purging, "watched": len(self._watched)}

    def do_start(self) -> Any:
        """Follow the log; return whether this process does already."""
        self._site.cache.start()
        return {"live": self._site.cache.log.live}

    def do_fill(self) -> Any:
        """Let the cache have the answer of each read, as the database was made."""
        return self._read(self._fill)

    def _fill(self) -> Any:
        wrong, unkept = {}, {}
        for name in self._watched:
            if name in self._kept:
                continue
            answer = self._site.ask(self._paths[name], cached=True)
            if list(answer[:2]) != self._before[name]:
                wrong[name] = [answer[1], self._before[name][1]]
            if self._served(name) is None:
                unkept[name] = answer[2]
            else:
                self._kept.add(name)
        return {"wrong": wrong, "unkept": unkept}

    def do_write(self, *, write: str, way: str) -> Any:
        """Carry out a write; return whether all of its purges were confirmed."""
        chosen = self._site.writes[write]

        def pause(moment: str) -> None:
            if not (chosen.locks and moment == "open"):
                self._say({"paused": moment})
                self._obey()

        self._unconfirmed = 0
        try:
            self._site.carry_out(chosen, self._site.ways[way], pause)
        except Exception:
            if not chosen.commits:
                raise
        return {"confirmed": not self._unconfirmed}

    def do_check(self) -> Any:
        """Compare what the cache would serve now with what the database says now."""
        return self._read(self._check)

    def _check(self) -> Any:
        stale, changed, needless, kept = {}, [], [], len(self._kept)
        for name in self._watched:
            stored, served = self._stored(name), self._served(name)
            if stored != self._before[name]:
                changed.append(name)
            if served is None:
                if name in self._kept and name not in changed:
                    needless.append(name)
                self._kept.discard(name)
            elif served != stored:
                stale[name] = [served[1], stored[1]]
        return {"stale": stale, "changed": changed, "needless": needless, "kept": kept}

    def do_fence(self) -> Any:
        """Return whether all processes have applied all that was purged until now."""
        return {"confirmed": self._site.cache.purge(tags=["fence"]).confirmed}

    def do_forget(self) -> Any:
        """Empty the cache."""
        self._kept.clear()
        return {"status": self._site.cache.purge(everything=True).status}

    def do_plain(self) -> Any:
        """Return the plain reads that purge something when they are made, and those that fail."""
        return self._read(self._plain)

    def _plain(self) -> Any:
        answers = {name: self._stored(name) for name in self._site.plain}
        failing = {name: answer[1] for name, answer in answers.items() if answer[0] != 200}
        return {"failing": failing, "purging": [each for each in answers if self._purges(each)]}

    def _purges(self, name: str) -> bool:
        before = self._count_purges()
        self._site.ask(self._paths[name], cached=True)
        return self._count_purges() != before

    def _count_purges(self) -> int:
        return sum(self._site.cache.stats().events.get("purge", {}).values())

    def do_overtake(self, *, read: str, write: str) -> Any:
        """Overtake a request by a write (see `Site.overtake`); return what is served and stored then."""
        self.do_forget()
        before = self._read(self._stored, read)
        first, following = self._site.overtake(self._paths[read], self._site.writes[write])
        stored = self._read(self._stored, read)
        return {"before": before, "first": first[:2], "next": following[:2], "stored": stored}

    def do_unseen(self, *, name: str) -> Any:
        """Keep an answer, change what it says past the recorder; return what is served and stored."""
        site = self._site
        self.do_forget()
        before = self._read(lambda: list(site.ask(self._paths[name], cached=True)[:2]))
        site.carry_out(site.unseen[name][1], next(iter(site.ways.values())), lambda moment: None)
        return {
            "before": before,
            "served": self._read(self._served, name),
            "stored": self._read(self._stored, name),
        }

    def do_time(self, *, name: str, times: int, recording: bool) -> Any:
        """Return the seconds that a read or a write takes so many times."""
        token = current.set(Recording() if recording else None)
        try:
            began = time.perf_counter()
            self._site.repeat(name, times)
            return {"seconds": time.perf_counter() - began}
        finally:
            current.reset(token)


def _go_together(write: Write, way: Way) -> bool:
    return not (
        (write.commits and way.prepares)
        or (write.opens_block and way.by_texts)
        or (write.in_transaction and way.autocommits)
    )


def main() -> None:
    """Run a site until its standard input ends. Its options are the one argument, as JSON."""
    # What anybody prints goes to the log; only this process's answers go to the pipe.
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    options = json.loads(sys.argv[1])
    if options["framework"] == "django":
        from .django_site.site import make
    else:
        from .alchemy_site.site import make  # type: ignore[assignment]

    def say(answer: Any) -> None:
        print(json.dumps(answer), file=pipe, flush=True)

    with pipe:
        Worker(make(options), iter(sys.stdin.readline, ""), say).serve()
