"""The shop under four workers, with clients that never stop asking, and the commands of an operator."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from cachemw.cli.demo.processes import Shop
from cachemw.ops.load.client import Connection, RequestError

__all__ = ["Clients", "Fleet", "serve", "until"]

HERE = Path(__file__).parent
WORKERS = 4
CLIENTS = 24
PAUSE = 0.04
"""Seconds between an answer and a client's next request."""
LASTS = 25
"""Requests on one connection, so that every worker gets some."""
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")
PATHS = {
    "low": ["/metrics", "/logs"],
    "medium": [
        *(f"/products/{number}" for number in range(1, 31)),
        "/catalog",
        *(f"/catalog/garden-{kind}" for kind in ("tools", "lights", "bags")),
    ],
    "high": [
        *(f"/customers/{number}" for number in range(1, 16)),
        *(f"/orders/{number}" for number in range(1, 11)),
    ],
}


def until(condition: Callable[[], object], limit: float, what: str = "") -> float:
    """Wait for a condition; give the seconds that it took, fail after `limit` of them."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit, f"not within {limit} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began


class Clients:
    """Clients in a thread of their own: each asks, waits a moment, and asks again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        self.statuses: Counter[int] = Counter()
        self.broken: list[str] = []
        self.stamped = False
        """Whether the pages of the present release put a stamp of their own into each link."""

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(random.Random(seed)) for seed in range(CLIENTS)))

    async def _one(self, dice: random.Random) -> None:
        connection = Connection("127.0.0.1", self._port)
        try:
            await self._ask(connection, dice)
        finally:
            connection.close()

    async def _ask(self, connection: Connection, dice: random.Random) -> None:
        for number in count():
            if self._stopping.is_set():
                break
            if number % LASTS == 0:  # the kernel gives a connection to whichever worker is idle
                connection.close()
            path = dice.choice(PATHS[dice.choice(("low", "medium", "high"))])
            if self.stamped:
                path += f"?_={dice.getrandbits(64)}"
            try:
                reply = await connection.request("GET", path)
            except RequestError as error:
                self.broken.append(str(error))
            else:
                self.statuses[reply.status] += 1
            await asyncio.sleep(PAUSE)

    def __enter__(self) -> Clients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


@dataclass
class Fleet:
    """The processes, and what is said to them."""

    folder: Path
    redis: str
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def release(self, name: str) -> None:
        """Deploy another release."""
        (self.folder / "release").write_text(name)

    def plan(self, **changed: Any) -> Path:
        """Write a plan whose numbers are seconds where they would be hours."""
        file = self.folder / "plan.toml"
        file.write_text(_toml(changed))
        return file

    def rollout(self, *words: str, check: bool = True) -> str:
        """Run a command of `cachemw rollout`; give what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "cachemw", "rollout", *words],
            cwd=self.folder,
            env={**self.environment, "CACHEMW_REDIS": self.redis},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    @property
    def status(self) -> dict[str, Any]:
        """Where the rollout stands."""
        found: dict[str, Any] = json.loads(self.rollout("status", "--json"))
        return found

    @property
    def history(self) -> list[dict[str, Any]]:
        """Every decision."""
        found: list[dict[str, Any]] = json.loads(self.rollout("history", "--json"))
        return found

    def until(self, condition: Callable[[dict[str, Any]], object], limit: float) -> dict[str, Any]:
        """Wait until the rollout stands so."""
        seen: list[dict[str, Any]] = []

        def so() -> object:
            seen[:] = [self.status]
            return condition(seen[0])

        try:
            until(so, limit)
        except AssertionError as error:
            raise AssertionError(f"{seen[0]}\n{self.log()}") from error
        return seen[0]

    def log(self) -> str:
        """What the workers have printed last."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def kill(self, process: str) -> None:
        """Kill a worker by its name in the fleet, which begins with its process id."""
        os.kill(int(process.partition("-")[0], 16), signal.SIGKILL)


def _toml(table: dict[str, Any]) -> str:
    plain = {k: v for k, v in table.items() if not isinstance(v, (dict, list)) or k == "dry_run"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    for phase in table["phases"]:
        lines += ["[[phases]]", *(f"{name} = {json.dumps(value)}" for name, value in phase.items())]
    return "\n".join(lines) + "\n"


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serve(shop: Shop, database: Path, folder: Path, workers: str, direct: str) -> Iterator[Fleet]:
    """Run the workers, whose Redis is at `workers`; operators reach it at `direct`."""
    config = folder / "cachemw.toml"
    config.write_text((HERE / "cachemw.toml").read_text())
    environment = shop.environment(
        SHOP_DB=str(database),
        RELEASED_CONFIG=str(config),
        RELEASED_SHOP=shop.package,
        CACHEMW_CONFIG=str(config),
        RELEASE=str(folder / "release"),
    )
    search = [str(HERE), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, search))
    fleet = Fleet(folder, direct, environment=environment)
    fleet.release("good")
    command = (
        *(sys.executable, "-m", "uvicorn", "--factory", "app:create_app", "--port", "0"),
        *("--workers", str(WORKERS), "--no-access-log", "--no-use-colors", "--lifespan", "off"),
    )
    with (folder / "log").open("wb") as log:
        fleet.process = subprocess.Popen(
            command,
            cwd=folder,  # what is imported must be the installed package, and no checkout beside it
            env={**environment, "CACHEMW_REDIS": workers},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: _LISTENING.search(fleet.log()), 30, "listening")
        found = _LISTENING.search(fleet.log())
        assert found is not None
        fleet.port = int(found[1])
        # The parent tells of the port; its workers listen, a moment later.
        until(lambda: _accepts(fleet.port), 30, "accepting")
        yield fleet
    finally:
        os.killpg(fleet.process.pid, signal.SIGTERM)
        try:
            fleet.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(fleet.process.pid, signal.SIGKILL)
            fleet.process.wait(10)
