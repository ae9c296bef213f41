"""The observer: readers, a writer and mishaps, each drawn from one seed, all outside of the workers."""

from __future__ import annotations

import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cachemw.testing import ChaosProxy, RedisServer
from tests.support.waiting import until

from .judge import Judge
from .kit import WORKERS, Answer, Connection

__all__ = ["PAGES", "Observer"]

PAGES = tuple(f"/{kind}/{number}" for kind in ("pages", "quick") for number in range(6))
READERS = 5
"""More than can all be waiting for one worker that stands still."""
CONNECTIONS = 4
PEOPLE = ({}, {}, {}, {"Authorization": "alice"}, {"Authorization": "bob"}, {"Cookie": "sid=carol"})
BEAT = 0.05
WAIT = 3.0
"""Seconds within which an answer must come where no worker stands still; far more than it takes."""


class Hand:
    """One client: some connections, to whichever workers accept them, renewed now and then."""

    def __init__(self, port: int, judge: Judge, rng: random.Random) -> None:
        self._port = port
        self._judge = judge
        self._rng = rng
        self._connections: list[Connection] = []

    def get(self, path: str, **fields: str) -> Answer | None:
        """Ask some worker; None where the connection broke, which is judged."""
        if len(self._connections) < CONNECTIONS:
            self._connections.append(Connection(self._port))
        chosen = self._rng.choice(self._connections)
        try:
            answer = chosen.get(path, **fields)
        except (OSError, http.client.HTTPException) as error:
            self._judge.broke(chosen.opened, chosen.worker, error)
            self._drop(chosen)
            return None
        if self._rng.random() < 0.01:
            self._drop(chosen)
        return answer

    def _drop(self, connection: Connection) -> None:
        self._connections.remove(connection)
        connection.close()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class Observer:
    """Everything that goes on in one run."""

    def __init__(
        self,
        judge: Judge,
        seed: str,
        port: int,
        server: RedisServer,
        proxy: ChaosProxy,
        data: Path,
    ) -> None:
        self.judge = judge
        self._seed = seed
        self._port = port
        self._server = server
        self._proxy = proxy
        self._data = data
        self._over = threading.Event()
        self._late = 0.0
        """Seconds for which the machine itself stood still, as far as a metronome can tell."""
        self._standing = threading.Lock()
        """Held while a worker stands still: what takes long then takes it from that."""
        self._stood = 0.0
        self._workers: dict[int, float] = {}
        """Worker -> when it last answered."""

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Read and write while the block runs."""
        loops = [self._reading] * READERS + [self._writing]
        threads = [
            threading.Thread(target=self._loop, args=(loop, f"{self._seed}-{number}"))
            for number, loop in enumerate(loops)
        ]
        threads.append(threading.Thread(target=self._beat_time))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _loop(self, step: Callable[[Hand, random.Random], None], seed: str) -> None:
        rng = random.Random(seed)
        hand = Hand(self._port, self.judge, rng)
        try:
            while not self._over.is_set() and not self.judge.violation:
                step(hand, rng)
        except Exception as error:  # the observer's own: it must not look like silence
            self.judge.violate(f"the observer failed: {error!r}")
        finally:
            hand.close()

    def _beat_time(self) -> None:
        while not self._over.is_set():
            due = time.monotonic() + BEAT
            time.sleep(BEAT)
            self._late += max(0.0, time.monotonic() - due - BEAT)

    # -- traffic -------------------------------------------------------------------------------------

    def _reading(self, hand: Hand, rng: random.Random) -> None:
        page, fields = rng.choice(PAGES), rng.choice(PEOPLE)
        late, asked = self._late, time.monotonic()
        answer = hand.get(page, **fields)
        if answer is not None:
            taken = time.monotonic() - asked
            if taken > WAIT:
                time.sleep(3 * BEAT)  # the metronome may have been late too
            taken -= self._late - late
            self._workers[answer.worker] = time.monotonic()
            self.judge.read(page, next(iter(fields.values()), "all"), asked, answer)
            if taken > WAIT and self._stood < asked and not self._standing.locked():
                self.judge.violate(f"I3: {page} took {taken:.3f} s")
        time.sleep(rng.random() * 0.004)

    def _writing(self, hand: Hand, rng: random.Random) -> None:
        page = rng.choice(PAGES)
        manner = rng.choice(("tag", "tag", "url", "everything"))
        self.write(page)
        pages = PAGES if manner == "everything" else (page,)
        versions = {each: len(self.judge.written[each]) for each in pages}
        answer = hand.get(f"/purge/{manner}{'' if manner == 'everything' else page}")
        if answer is not None:
            self.judge.purged(versions, answer, f"{manner} of {page} at {versions[page]}")
        time.sleep(rng.random() * 0.06)

    def write(self, page: str) -> None:
        """Write the next version of a page, in one step, as a database would."""
        file = self._data / page[1:].replace("/", "-")
        draft = file.with_suffix(".draft")
        draft.write_text(str(self.judge.wrote(page)))
        draft.replace(file)

    # -- mishaps -------------------------------------------------------------------------------------

    def suffer(self, seconds: float) -> None:
        """Let one mishap follow the other, with calm between them."""
        rng = random.Random(f"{self._seed}-mishaps")
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not self.judge.violation:
            mishap = rng.choice(sorted(self._mishaps))
            self.judge.note(f"MISHAP {mishap}")
            self.judge.seen[mishap] += 1
            self._mishaps[mishap](self, rng)
            self.judge.note(f"mended: {mishap}")
            self._over.wait(rng.uniform(0.2, 1.5))

    def _redis_dies(self, rng: random.Random) -> None:
        self._server.kill()
        time.sleep(rng.uniform(0.0, 2.0))
        self._server.start()

    def _redis_hangs(self, rng: random.Random) -> None:
        self._server.hang()
        time.sleep(rng.uniform(0.1, 2.0))
        self._server.resume()

    def _redis_forgets(self, rng: random.Random) -> None:
        self._server.command(rng.choice(("FLUSHALL", "FLUSHDB")))

    def _connections_die(self, rng: random.Random) -> None:
        for _ in range(rng.randint(1, 5)):
            self._server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(rng.uniform(0.0, 0.2))

    def _wire(self, rng: random.Random) -> None:
        proxy = self._proxy
        manner = rng.choice(
            ("cut", "slow", "slice", "swallow", "half_close", "refuse", "cut_after")
        )
        self.judge.note(f"the wire: {manner}")
        match manner:
            case "slow":
                proxy.slow(rng.uniform(0.01, 0.2))
            case "slice":
                proxy.slice(1, rng.uniform(0.0, 0.005))
            case "cut_after":
                proxy.cut_after(rng.randint(0, 2000))
            case _:
                getattr(proxy, manner)()
        time.sleep(rng.uniform(0.0, 2.0))
        proxy.normal()

    def _worker_stands_still(self, rng: random.Random) -> None:
        worker = self._some_worker(rng)
        with self._standing:
            os.kill(worker, signal.SIGSTOP)
            self.judge.note(f"{worker} stands still")
            time.sleep(rng.uniform(0.1, 2.5))
            self._stood = time.monotonic()
            os.kill(worker, signal.SIGCONT)
        self._stood = time.monotonic()

    def _worker_dies(self, rng: random.Random) -> None:
        worker = self._some_worker(rng)
        self.judge.killed[worker] = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        del self._workers[worker]
        self.judge.note(f"{worker} was killed")
        until(lambda: self.judge.violation or self._answering(1.0) >= WORKERS)  # else nobody asks

    _mishaps = {
        "Redis dies": _redis_dies,
        "Redis hangs": _redis_hangs,
        "Redis forgets": _redis_forgets,
        "connections die": _connections_die,
        "the wire": _wire,
        "a worker stands still": _worker_stands_still,
        "a worker dies": _worker_dies,
    }

    def _answering(self, within: float) -> int:
        """Count the workers that have answered lately."""
        now = time.monotonic()
        return sum(self._workers[pid] > now - within for pid in self._alive())

    def _some_worker(self, rng: random.Random) -> int:
        return rng.choice(self._alive())

    def _alive(self) -> list[int]:
        return sorted(set(self._workers.copy()) - set(self.judge.killed))

    # -- the end -------------------------------------------------------------------------------------

    def await_peace(self) -> None:
        """Wait until purges are confirmed and every worker answers from the cache again."""
        confirmed = self.judge.seen["purge confirmed"]
        hits = self.judge.seen["hit"]

        def peace() -> bool:
            seen = self.judge.seen
            back = seen["purge confirmed"] > confirmed + 2 and seen["hit"] > hits + 50
            return bool(self.judge.violation) or (back and self._answering(2.0) == WORKERS)

        until(peace)
