"""One framework over one database by one driver, in one process, or in one that writes and one that reads."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.waiting import until

from .servers import MariaDB, PostgreSQL, Server
from .tables import Library, Vendor

__all__ = ["KINDS", "Bench", "Figures", "Kind", "Outcome", "Process", "bench_of"]

ROOT = Path(__file__).parents[3]
ANSWER_SECONDS = 60.0
"""How long a process may take to carry out one order."""
PROGRAM = f"""
import sys
sys.path.append({str(ROOT)!r})  # last: the package comes from where it is installed
from tests.system.databases.worker import main
main()
"""
WARNINGS = ("-W", "error")


@dataclass(frozen=True, slots=True)
class Kind:
    """A framework, a database and a driver."""

    framework: str
    vendor: Vendor
    driver: str

    def __str__(self) -> str:
        return f"{self.framework}-{self.database}-{self.driver}"

    @property
    def database(self) -> str:
        return {"postgresql": "PostgreSQL", "mysql": "MariaDB", "sqlite": "SQLite"}[self.vendor]


KINDS = (
    Kind("django", "postgresql", "psycopg"),
    Kind("django", "postgresql", "psycopg2"),
    Kind("django", "mysql", "pymysql"),
    Kind("django", "sqlite", "sqlite3"),
    Kind("alchemy", "postgresql", "psycopg"),
    Kind("alchemy", "postgresql", "asyncpg"),
    Kind("alchemy", "mysql", "pymysql"),
    Kind("alchemy", "sqlite", "sqlite3"),
    Kind("alchemy", "sqlite", "aiosqlite"),
)


class Process:
    """A worker, and the orders that it is given."""

    def __init__(self, options: Mapping[str, Any], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-B", *WARNINGS, "-c", PROGRAM, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=log.parent,
                text=True,
                bufsize=1,
            )
        self._await()

    def order(self, do: str, **details: Any) -> Any:
        """Give an order and return what came of it; raises RuntimeError for one that failed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
        self._process.stdin.flush()
        answer = self._await()
        if "failed" in answer:
            raise RuntimeError(f"{do} {details}: {answer['failed']}")
        return answer

    def _await(self) -> Any:
        pipe = self._process.stdout
        assert pipe is not None
        ready, _, _ = select.select([pipe], [], [], ANSWER_SECONDS)
        line = pipe.readline() if ready else ""
        if not line:
            said = self._log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"the worker {'ended' if ready else 'does not answer'}:\n{said}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one write, committed in one way."""

    kind: Kind
    write: str
    way: str
    looked: int
    """The answers that were in the cache before."""
    changed: tuple[str, ...] = ()
    stale: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Reads whose old answer is served: what is served, and what the database says."""
    needless: tuple[str, ...] = ()
    """Reads that were purged though their answer is the same."""
    error: str = ""

    def lines(self) -> Iterator[str]:
        """Return what is wrong, in words."""
        place = f"{self.kind.framework}, {self.kind.database}, {self.kind.driver}"
        of = f"write {self.write!r}, committed by {self.way!r} ({place})"
        if self.error:
            yield f"{of}: {self.error}"
        elif not self.changed:
            yield f"{of}: it changes nothing that is read, so nothing is tried"
        if self.stale:
            read, (served, stored) = next(iter(self.stale.items()))
            yield (
                f"{of}: {len(self.stale)} old answers, as of read {read!r}:"
                f" served {served[:60]}, in the database {stored[:60]}"
            )


@dataclass(slots=True)
class Figures:
    """Sums over the outcomes of one kind."""

    pairs: int = 0
    combinations: int = 0
    stale: int = 0
    unchanged: int = 0
    needless: int = 0
    read: float | None = None
    """The time of a read while it is recorded, over that of the same read without the recorder."""
    write: float | None = None
    """The same of a write, its purge in memory included."""

    def add(self, outcome: Outcome) -> None:
        self.pairs += 1
        self.combinations += outcome.looked
        self.stale += len(outcome.stale)
        self.unchanged += outcome.looked - len(outcome.changed)
        self.needless += len(outcome.needless)


class Bench:
    """A library, and the processes of one site over it."""

    def __init__(self, kind: Kind, library: Library, writer: Process, reader: Process) -> None:
        self.kind = kind
        self.stock = library
        self.writer = writer
        self.reader = reader
        self.described = writer.order("describe")
        self.learned = reader.order("learn")

    def try_out(self, write: str, way: str) -> Outcome:
        """Fill the cache, commit a write, and compare; restore the library."""
        filled = self.reader.order("fill")
        problem = _problem(filled)
        before: dict[str, Any] = {"stale": {}, "needless": []}
        error = ""
        try:
            answer = self.writer.order("write", write=write, way=way)
            while "paused" in answer:
                if answer["paused"] == "open":
                    # Others read meanwhile, and may store what is still true.
                    problem = problem or _problem(self.reader.order("fill"))
                else:
                    before = self._check()
                answer = self.writer.order("go on")
            self._await_confirmation(answer)
        except RuntimeError as failed:
            error = str(failed)
        checked = self._check()
        self.stock.restore(self.described["writes"][write]["undo"])
        return Outcome(
            kind=self.kind,
            write=write,
            way=way,
            looked=self.learned["watched"],
            changed=tuple(checked["changed"]),
            stale=before["stale"] | checked["stale"],
            needless=tuple(before["needless"] + checked["needless"]),
            error=error or problem,
        )

    def _check(self) -> Any:
        return self.reader.order("check")

    def _await_confirmation(self, written: Mapping[str, Any]) -> None:
        """Wait until the reader has applied what was purged, where that was not confirmed in time."""
        if not written["confirmed"]:
            until(lambda: self.writer.order("fence")["confirmed"])


def _problem(filled: Mapping[str, Any]) -> str:
    """Return what is wrong with answers that were to be stored; without them nothing is tried out."""
    if filled["wrong"]:
        return f"old answers were made again, or the library was not restored: {filled['wrong']}"
    return f"answers are not kept: {filled['unkept']}" if filled["unkept"] else ""


@contextmanager
def bench_of(kind: Kind, folder: Path, redis: str = "", **options: Any) -> Iterator[Bench]:
    """Run a database and a site over it; with a Redis, in one process that writes and one that reads.

    Raises MissingServer where the database is not installed.
    """
    with ExitStack() as stack:
        server: Server | None = None
        if kind.vendor != "sqlite":
            server = stack.enter_context(PostgreSQL() if kind.vendor == "postgresql" else MariaDB())
            server.create("library")
        name = str(folder / "library.sqlite3") if server is None else "library"
        library = Library(kind.vendor, name, server)
        library.create()
        options = {
            "framework": kind.framework,
            "vendor": kind.vendor,
            "driver": kind.driver,
            "database": name,
            "redis": redis,
            **options,
        }
        if server is not None:
            is_folder = kind.vendor == "postgresql"
            options |= {
                "socket": server.path,
                "host": str(server.folder) if is_folder else server.path,
            }
        processes = [
            _started(stack, options, folder / f"{n}.log") for n in range(2 if redis else 1)
        ]
        if redis:
            for process in processes:
                until(lambda process=process: process.order("start")["live"])
        yield Bench(kind, library, processes[0], processes[-1])


def _started(stack: ExitStack, options: Mapping[str, Any], log: Path) -> Process:
    process = Process(options, log)
    stack.callback(process.close)
    return process
