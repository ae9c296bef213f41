"""A model of the flags of a fleet: what was taken back never comes back by itself.

Processes start, stop and serve; Redis goes away, comes back, and loses its data; mirrors age; operators
turn one flag off and on. The model knows the last word that was given on the flag. A process that serves
although the last word is "off" has forgotten it.

Two limits are documented. Where Redis is empty, and neither a process that runs nor the mirror of its
machine knows more, the configuration counts. A machine on which no process ran when a flag was turned off
trusts its mirror for a day, if Redis is away when it starts.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cachemw.config import config_from
from cachemw.config.syntax.flag import OFF
from cachemw.engine.core.setup import make_routes
from cachemw.rollout.flags.files import Mirror, MirrorAge
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.rollout.flags.live import Change

CONFIG = config_from(
    {"routes": [{"name": "orders", "path": "/orders", "ttl": "60s", "risk": "high"}]}
)
DAY = 86400.0
MACHINES = st.integers(0, 1)


class Process:
    """One process: its flags, and the mirror of its machine."""

    def __init__(self, fleet: Fleet, machine: int) -> None:
        (self.route,) = make_routes(CONFIG, {}, {})
        self.fleet = fleet
        self.machine = machine
        self.heard: float | None = None
        self.flags = Flags(
            [self.route],
            ConfiguredFlags(),
            exchange=fleet.exchange,
            known=False,
        )
        self.mirror = Mirror(
            str(fleet.folder / f"{machine}.json"),
            "shop",
            self.flags,
            lambda event, reason: None,
            age=MirrorAge(lambda: self.heard, DAY, lambda: fleet.now),
        )
        self.mirror.load()
        self.join()

    def join(self) -> None:
        """Do what the log's thread does on joining, as far as flags go."""
        fleet = self.fleet
        if not fleet.up:
            return
        self.flags.answered(fleet.document)
        fleet.write(self.flags.newest(fleet.document))
        self.flags.answered(fleet.document)
        self.flags.publish_pending()
        self.heard = fleet.now
        self.mirror.save()


class Fleet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.now = 1_000_000.0
        self.up = True
        self.document: bytes | None = None
        self.processes: list[Process] = []
        self.informed: set[int] = set()
        """The machines on which a process has heard of the newest document."""
        self.last_word = "on"
        """What was last said of the flag; the configuration says on."""

    def teardown(self) -> None:
        self._temporary.cleanup()

    def exchange(self, change: Change) -> bytes | None:
        if not self.up:
            return None
        self.write(change(self.document))
        return self.document

    def write(self, document: bytes | None) -> None:
        if document != self.document:
            self.document = document
            self.informed.clear()

    def settle(self) -> None:
        """Bring the news to every process, as the log does within a second."""
        for _ in range(2):
            for process in self.processes:
                process.join()
        if self.up:
            self.informed |= {process.machine for process in self.processes}
        if self.is_off():  # perhaps what was taken back while Redis was away
            self.last_word = "off"
        elif self.up and self.processes and self.document is None:
            self.last_word = "on"  # the documented limit

    def is_misled(self, machine: int) -> bool:
        """Tell whether a machine has missed the newest document, and its mirror is still young."""
        path = self.folder / f"{machine}.json"
        if self.up or machine in self.informed or not path.exists():
            return False
        return self.now - float(json.loads(path.read_bytes())["heard"]) <= DAY

    @rule(machine=MACHINES)
    @precondition(lambda self: len(self.processes) < 3)
    def start(self, machine: int) -> None:
        if self.is_misled(machine):
            return
        self.processes.append(Process(self, machine))
        self.settle()

    @rule(index=st.integers(0, 2))
    @precondition(lambda self: self.processes)
    def stop(self, index: int) -> None:
        process = self.processes.pop(index % len(self.processes))
        process.mirror.save()

    @rule()
    def stop_all(self) -> None:
        for process in self.processes:
            process.mirror.save()
        self.processes.clear()

    @rule(word=st.sampled_from(["off", "on", "kill", "lift"]), index=st.integers(0, 2))
    @precondition(lambda self: self.processes and self.up)
    def say(self, word: str, index: int) -> None:
        """Change the flag while Redis is there, so that everybody hears of it."""
        process = self.processes[index % len(self.processes)]
        kill = {"kill": "on", "lift": "off"}
        settings = {"kill": kill[word]} if word in kill else {"high": word}
        assert process.flags.set(settings)
        self.settle()
        self.last_word = "off" if self.is_off() else "on"

    @rule(index=st.integers(0, 2))
    @precondition(lambda self: self.processes and not self.up)
    def take_back_while_away(self, index: int) -> None:
        """Turn off while Redis is away: it holds on this machine, and is published later."""
        process = self.processes[index % len(self.processes)]
        process.flags.kill()
        process.mirror.save()
        assert process.route.share == OFF

    def is_off(self) -> bool:
        live = Flags([], ConfiguredFlags(), exchange=None)
        if self.document is not None:
            live.receive(self.document)
        return live.killed or live.states()["high"] == "off"

    @rule()
    def lose_connection(self) -> None:
        self.up = False

    @rule(empty=st.booleans())
    @precondition(lambda self: not self.up)
    def come_back(self, empty: bool) -> None:
        if empty:
            self.document = None
        self.up = True
        self.settle()

    @rule(days=st.sampled_from([0.1, 2.0]))
    def wait(self, days: float) -> None:
        """Let time pass; who follows the log renews the mirror of its machine."""
        self.now += days * DAY
        self.settle()

    @rule()
    def lose_mirrors(self) -> None:
        for path in self.folder.iterdir():
            os.unlink(path)
        self.settle()

    @invariant()
    def nobody_serves_what_was_taken_back(self) -> None:
        if self.last_word == "off":
            assert all(process.route.share == OFF for process in self.processes)

    @invariant()
    def a_fleet_with_redis_knows(self) -> None:
        if self.up:
            assert all(process.flags.known for process in self.processes)


TestFleet = Fleet.TestCase
