"""A model of the rollout of a fleet: what was taken back never comes back by itself.

Operators start, promote, approve, pause, resume and roll back; they turn classes off and on, and kill.
The controller goes on, or rolls back. Redis goes away, comes back, and loses its data; single processes are
cut off from it; processes start and stop; mirrors age and are lost.

**What is promised.** Each class that is taken back makes a *mark*. An operator's act that lets the class
in again lifts the marks that were known where it was made. Marks are passed on as a fleet tells them: from
a process to Redis and back, and to the mirror of its machine. A process must not use the cache for a class
with a mark that it knows, and whoever it reaches must not, either. (This is an observed-remove set: Shapiro
and others, "Conflict-free Replicated Data Types", 2011.) So nothing is promised where nobody knows: all
processes are new, and Redis and the mirrors are empty.

A decision on an older state is found by nothing here: what was rolled back has other flags than the step
that was decided on, and that is a second guard.

A class of a phase that has not begun yet is off anyway. Turning it off by hand makes no mark: the plan lets
it in later, as the operator said who started it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cachemw.config import config_from
from cachemw.config.syntax.flag import OFF
from cachemw.engine.core.setup import make_routes
from cachemw.errors import RolloutError, StoreUnavailable
from cachemw.rollout import store as of_store
from cachemw.rollout.controller import Controller
from cachemw.rollout.decisions import LookResult
from cachemw.rollout.flags import files as of_files
from cachemw.rollout.flags import flags as of_flags
from cachemw.rollout.flags.files import Mirror, MirrorAge
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.rollout.flags.live import Change, LiveFlags
from cachemw.rollout.guardrails.measures import Judgement
from cachemw.rollout.manager import Rollout
from cachemw.rollout.remembered import RememberedRollout
from cachemw.rollout.state import State, plan_of
from cachemw.rollout.store import CommitDocuments, SharedStore
from cachemw.telemetry.events import BOUNDS
from cachemw.testing import FakeClock
from tests.support.examples import examples

RISKS = ("low", "medium", "high")
CONFIG = config_from(
    {"routes": [{"name": risk, "path": f"/{risk}", "ttl": "60s", "risk": risk} for risk in RISKS]}
)
COMMON = {"duration": "1h", "watch": ["errors"]}
PLAN: dict[str, Any] = {
    "warm_up": 0,
    "phases": [
        {"name": "first", "risks": ["low"], "steps": ["shadow", "on"], **COMMON},
        {"name": "second", "risks": ["medium"], "steps": ["canary 50%", "on"], **COMMON},
        {"name": "third", "risks": ["high"], "steps": ["on"], "approve": True, **COMMON},
    ],
}
DAY = 86400.0
KILL = "kill"
MACHINES = st.integers(0, 1)
WHICH = st.integers(0, 2)


def judged(phase: str, before: str) -> LookResult:
    """Return a look after which the step is over."""
    found = {
        group: (Judgement(guardrail="errors", verdict=verdict, evidence={}),)  # type: ignore[arg-type]
        for group, verdict in (("phase", phase), ("before", before))
    }
    return LookResult(seconds=DAY, judged=found)  # type: ignore[arg-type]


LOOKS = {
    "goes on": judged("pass", "pass"),
    "waits": judged("inconclusive", "pass"),
    "is harmful": judged("fail", "pass"),
    "was harmful before": judged("pass", "fail"),
}


class Marks:
    """Which classes were taken back, as far as somebody knows."""

    def __init__(self) -> None:
        self.made: set[tuple[str, int]] = set()
        self.lifted: set[tuple[str, int]] = set()

    @property
    def classes(self) -> set[str]:
        return {risk for risk, _ in self.made - self.lifted}

    def lift(self, risks: set[str]) -> None:
        self.lifted |= {mark for mark in self.made if mark[0] in risks}

    def learn(self, other: Marks) -> None:
        self.made |= other.made
        self.lifted |= other.lifted


class Redis:
    """The documents in Redis."""

    def __init__(self) -> None:
        self.flags: bytes | None = None
        self.state: bytes | None = None
        self.history: list[bytes] = []
        self.marks = Marks()


class Process:
    """One process, with all that it remembers, and the mirror of its machine."""

    def __init__(self, fleet: Fleet, machine: int) -> None:
        self.fleet = fleet
        self.machine = machine
        self.cut = False
        self.joined = False
        self.heard: float | None = None
        self.seen: State | None = None
        """The state that a controller of this process has looked at."""
        self.marks = Marks()
        self.own = Marks()
        """What was set here while Redis was away, and is still to be published."""
        self.routes = make_routes(CONFIG, {}, {})
        self.flags = Flags(
            self.routes, ConfiguredFlags(), exchange=self.exchange_flags, known=False
        )
        self.remembered = RememberedRollout()
        self.mirror = Mirror(
            str(fleet.folder / f"{machine}.json"),
            "shop",
            self.flags,
            lambda event, reason: None,
            age=MirrorAge(lambda: self.heard, DAY, fleet.clock.time),
            remembered=self.remembered,
        )
        store = SharedStore(self, self.flags, tuple)
        self.controller = Controller(
            store,
            risks={risk: risk for risk in RISKS},
            bounds=BOUNDS,
            fleet=list,
            clock=fleet.clock,
            name=lambda: "controller",
            report=lambda record: None,
        )
        self.store = store
        self.rollout = Rollout(
            store,
            self.controller,
            CONFIG,
            clock=fleet.clock,
            report=lambda record: None,
            failed=lambda name: None,
        )
        self.mirror.load()
        self.marks.learn(fleet.mirrored[machine])
        saved = self.mirror._saved
        self.has_heard = saved is not None and fleet.clock.time() - saved.heard <= DAY
        """Whether Redis has told this process, or a young mirror, what is switched off."""

    # -- the documents, as `RolloutDocuments` and `FlagDocument` have them ---------------------------

    @property
    def redis(self) -> Redis:
        if not self.reaches:
            raise StoreUnavailable("away")
        return self.fleet.redis

    @property
    def reaches(self) -> bool:
        return self.fleet.up and not self.cut

    def exchange_flags(self, change: Change) -> bytes | None:
        if not self.reaches:
            return None
        self.redis.flags = change(self.redis.flags)
        return self.redis.flags

    def read(self) -> bytes | None:
        return self.redis.state

    def exchange(self, change: Callable[[bytes | None, bytes | None], CommitDocuments]) -> None:
        redis = self.redis
        written = change(redis.state, redis.flags)
        redis.state = written.state
        if written.flags is not None:
            redis.flags = written.flags
        if written.record is not None:
            redis.history.append(written.record)

    def looks(self) -> list[bytes]:
        return []

    def records(self, count: int) -> list[bytes]:
        return self.redis.history[-count:]

    def lead(self) -> bool:
        return True

    def resign(self) -> None:
        pass

    def probe(self) -> str:
        return ""

    # -- what the log's thread does ------------------------------------------------------------------

    def join(self) -> None:
        """Hear what Redis has, and tell it what it has lost."""
        redis = self.redis
        self.flags.answered(redis.flags)
        newest = self.flags.newest(redis.flags)
        if newest is not None:
            redis.flags = newest
        self.flags.answered(redis.flags)
        self.flags.publish_pending()
        missing = self.remembered.missing(redis.state, self.flags.published)
        if missing is not None:
            redis.state = msgspec.json.encode(missing[0])
            redis.history = redis.history or [msgspec.json.encode(each) for each in missing[1]]
        self.joined = True
        self.hear()
        self.tick()

    def hear(self) -> None:
        """Apply the newest record of the log."""
        self.heard = self.fleet.clock.time()
        if self.redis.flags is not None:
            self.flags.receive(self.redis.flags)
        self.tell()

    def tick(self) -> None:
        """Do what is done once or twice a second."""
        self.remembered.learn(self.redis.state, self.redis.history)
        self.save()

    def tell(self) -> None:
        """Note that this process and Redis know the same now."""
        self.has_heard = True
        if KILL not in self.flags.pending:  # what was set here is published, or was said anyway
            self.marks.learn(self.own)
            self.own = Marks()
        self.fleet.redis.marks.learn(self.marks)
        self.marks.learn(self.fleet.redis.marks)

    def save(self) -> None:
        self.mirror.save()
        if self.mirror._read() is not None and self.mirror._read() == self.mirror._saved:
            for marks in (self.marks, self.own):
                self.fleet.mirrored[self.machine].learn(marks)

    @property
    def sees_work(self) -> bool:
        """Whether a controller of this process can decide."""
        return self.reaches and self.seen is not None and self.seen.active

    # -- what is promised ----------------------------------------------------------------------------

    @property
    def taken_back(self) -> set[str]:
        found = self.marks.classes | self.own.classes
        return set(RISKS) if KILL in found else found

    @property
    def used(self) -> set[str]:
        return {route.risk for route in self.routes if route.share != OFF}


class Fleet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.clock = FakeClock()
        self.up = True
        self.redis = Redis()
        self.mirrored = [Marks(), Marks()]
        self.processes: list[Process] = []
        self._marks = 0

    def teardown(self) -> None:
        self._temporary.cleanup()

    @property
    def following(self) -> list[Process]:
        return [each for each in self.processes if each.joined and each.reaches]

    def settle(self) -> None:
        """Bring the news to every process that follows the log."""
        for _ in range(2):
            for process in self.following:
                process.hear()

    def chosen(self, index: int) -> Process:
        return self.processes[index % len(self.processes)]

    def mark(self, marks: Marks, risks: Sequence[str]) -> None:
        for risk in risks:
            self._marks += 1
            marks.made.add((risk, self._marks))

    def said(
        self,
        process: Process,
        *,
        off: Sequence[str] = (),
        on: Sequence[str] = (),
    ) -> None:
        """Note that flags were written to Redis by way of a process, which told Redis all that it knows."""
        process.tell()
        self.mark(process.marks, off)
        process.marks.lift(set(on))
        process.tell()
        self.settle()

    # -- processes -----------------------------------------------------------------------------------

    @initialize(steps=st.integers(0, 7))
    def begin_in_the_middle(self, steps: int) -> None:
        """Begin with a process on each machine, and a rollout that has come some way."""
        for machine in range(2):
            self.start(machine)
        if steps:
            self.begin(0)
        for _ in range(steps - 1):
            self.go_on(0, "approve")
            self.go_on(0, "promote")
        for process in self.processes:
            process.seen = process.store.read()

    @rule(machine=MACHINES)
    @precondition(lambda self: len(self.processes) < 3)
    def start(self, machine: int) -> None:
        process = Process(self, machine)
        self.processes.append(process)
        if self.up:
            process.join()
            self.settle()

    @rule(index=WHICH)
    @precondition(lambda self: self.processes)
    def stop(self, index: int) -> None:
        process = self.chosen(index)
        self.processes.remove(process)
        process.save()

    @rule()
    @precondition(lambda self: self.processes)
    def stop_all(self) -> None:
        for process in self.processes:
            process.save()
        self.processes.clear()

    # -- Redis and the network -----------------------------------------------------------------------

    @rule()
    @precondition(lambda self: self.up)
    def lose_redis(self) -> None:
        self.up = False
        for process in self.processes:
            process.joined = False

    @rule(empty=st.booleans())
    @precondition(lambda self: not self.up)
    def bring_redis_back(self, empty: bool) -> None:
        if empty:
            self.redis = Redis()
        self.up = True

    @rule()
    @precondition(lambda self: self.up)
    def lose_data(self) -> None:
        """Empty Redis; who followed the log comes back one after the other."""
        self.redis = Redis()
        for process in self.following:
            process.join()
        self.settle()

    @rule(index=WHICH, everything=st.booleans())
    @precondition(lambda self: self.up and len(self.processes) > 1)
    def lose_data_and_the_only_one_who_knows(self, index: int, everything: bool) -> None:
        """Take back where only one process hears of it, which is cut off then, and empty Redis."""
        one = self.chosen(index)
        others = [each for each in self.processes if each is not one]
        for each in others:
            each.cut, each.joined = True, False
        self.join_again(index)
        if everything:
            self.kill(index, "on")
        else:
            self.roll_back(index, everything=True)
        one.cut, one.joined = True, False
        self.redis = Redis()
        for each in others:
            each.cut = False
            each.join()
        self.settle()

    @rule(index=WHICH)
    @precondition(lambda self: self.processes)
    def cut_off(self, index: int) -> None:
        process = self.chosen(index)
        process.cut, process.joined = True, False

    @rule(index=WHICH)
    @precondition(lambda self: self.up and self.processes)
    def join_again(self, index: int) -> None:
        process = self.chosen(index)
        process.cut = False
        process.join()
        self.settle()

    @rule(days=st.sampled_from([0.1, 2.0]))
    def wait(self, days: float) -> None:
        self.clock.advance(days * DAY)
        self.tick()

    @rule()
    def tick(self) -> None:
        """Let processes remember the rollout and save the flags, as they do within a second."""
        self.settle()
        for process in self.following:
            process.tick()

    @rule(machine=MACHINES)
    def lose_mirror(self, machine: int) -> None:
        path = self.folder / f"{machine}.json"
        if path.exists():
            os.unlink(path)
        self.mirrored[machine] = Marks()
        self.settle()

    # -- operators -----------------------------------------------------------------------------------

    def move(self, index: int, name: str, move: Callable[[Rollout], State]) -> None:
        process, flags = self.chosen(index), self.redis.flags
        try:
            before = process.store.read()
            after = move(process.rollout)
        except (RolloutError, StoreUnavailable):
            return
        if self.redis.flags == flags:  # a move such as a pause tells nobody of flags
            self.settle()
            return
        self.said(
            process,
            off=after.rolled_back if name == "roll back" else (),
            on=self.let_in(name, before, after),
        )

    def let_in(self, name: str, before: State | None, after: State) -> Sequence[str]:
        """Return the classes that an operator's move lets in, now or in steps that follow by themselves."""
        phases = plan_of(after).phases
        if name == "start":
            return RISKS
        if name == "resume" and before is not None and before.status == "rolled back":
            return [risk for phase in phases[after.phase :] for risk in phase.risks]
        return phases[after.phase].risks if name in ("resume", "promote", "approve") else ()

    @rule(index=WHICH)
    @precondition(lambda self: self.processes)
    def begin(self, index: int) -> None:
        self.move(index, "start", lambda rollout: rollout.start(PLAN))

    @rule(index=WHICH, name=st.sampled_from(["promote", "approve", "pause", "resume"]))
    @precondition(lambda self: self.processes)
    def go_on(self, index: int, name: str) -> None:
        self.move(index, name, lambda rollout: getattr(rollout, name)())

    @rule(index=WHICH, everything=st.booleans())
    @precondition(lambda self: self.processes)
    def roll_back(self, index: int, everything: bool) -> None:
        self.move(
            index,
            "roll back",
            lambda rollout: rollout.roll_back(everything=everything),
        )

    @rule(index=WHICH, risk=st.sampled_from(RISKS), state=st.sampled_from(["on", "off"]))
    @precondition(lambda self: self.processes)
    def turn(self, index: int, risk: str, state: str) -> None:
        """Turn a class off or on by hand."""
        process = self.chosen(index)
        if not process.reaches:
            return
        present = process.store.read()
        assert process.flags.set({risk: state})
        marks = state == "off" and not self.is_still_to_come(risk, present)
        self.said(process, off=[risk] if marks else [], on=[risk] if state == "on" else [])

    def is_still_to_come(self, risk: str, state: State | None) -> bool:
        if state is None or state.status == "complete":
            return False
        (of,) = [n for n, phase in enumerate(PLAN["phases"]) if risk in phase["risks"]]
        return of > state.phase

    @rule(index=WHICH, kill=st.sampled_from(["on", "off"]))
    @precondition(lambda self: self.processes)
    def kill(self, index: int, kill: str) -> None:
        process = self.chosen(index)
        if process.reaches:
            assert process.flags.set({"kill": kill})
            self.said(
                process, off=[KILL] if kill == "on" else [], on=[KILL] if kill == "off" else []
            )
        elif kill == "on" and not process.flags.killed:
            assert not process.flags.kill()
            self.mark(process.own, [KILL])
            process.save()

    # -- the controller ------------------------------------------------------------------------------

    @rule(index=WHICH)
    @precondition(lambda self: self.processes)
    def look(self, index: int) -> None:
        process = self.chosen(index)
        if process.reaches:
            process.seen = process.store.read()

    @rule(index=WHICH, look=st.sampled_from(["goes on", *LOOKS]))
    @precondition(lambda self: any(each.sees_work for each in self.processes))
    def decide(self, index: int, look: str) -> None:
        """Decide on what was seen, which may be long ago."""
        able = [each for each in self.processes if each.sees_work]
        self.decided(able[index % len(able)], look)

    @rule(index=WHICH, by_hand=st.booleans())
    @precondition(lambda self: any(each.sees_work for each in self.processes))
    def decide_on_what_was_just_taken_back(self, index: int, by_hand: bool) -> None:
        """Let an operator take back what a controller has looked at and is about to go on with."""
        able = [each for each in self.processes if each.sees_work]
        process = able[index % len(able)]
        state = process.seen = process.store.read()
        if state is None or not state.active:
            return
        if by_hand:
            self.turn(index, plan_of(state).phases[state.phase].risks[0], "off")
        else:
            self.roll_back(index, everything=False)
        self.decided(process, "goes on")

    def decided(self, process: Process, look: str) -> None:
        seen, flags = process.seen, self.redis.flags
        assert seen is not None
        process.controller._decide(seen, plan_of(seen), LOOKS[look])
        after = process.seen = process.store.read()
        if self.redis.flags != flags:
            went_back = after is not None and after.status == "rolled back"
            self.said(process, off=after.rolled_back if after and went_back else ())

    # -- what is promised ----------------------------------------------------------------------------

    @invariant()
    def nobody_uses_what_was_taken_back(self) -> None:
        for process in self.processes:
            assert not process.used & process.taken_back, (process.used, process.taken_back)

    @invariant()
    def nobody_uses_anything_who_has_never_heard(self) -> None:
        for process in self.processes:
            assert process.has_heard or not process.used


TestRollout = Fleet.TestCase
TestRollout.settings = settings(max_examples=examples(200), stateful_step_count=40)


# -- guards ----------------------------------------------------------------------------------------


def by_revision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def includes(newer: LiveFlags, older: LiveFlags) -> bool:
        return newer.revision >= older.revision

    monkeypatch.setattr(of_flags, "includes", includes)
    monkeypatch.setattr(of_files, "includes", includes)


def telling_redis_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flags, "newest", lambda self, stored: stored)


def believing_an_old_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flags, "_restricting", lambda self, live: live)
    monkeypatch.setattr(MirrorAge, "is_young", lambda self, heard: True)


def stepping_over_flags_set_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_store, "_require_flags", lambda move, live: None)


def dropping_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flags, "unreplaced", lambda self, pending, newer: {})


@pytest.mark.thorough
@pytest.mark.timeout(300)  # it takes 3 to 30 s
@pytest.mark.parametrize(
    "take_out",
    [
        by_revision_alone,
        telling_redis_nothing,
        believing_an_old_mirror,
        stepping_over_flags_set_by_hand,
        dropping_a_kill,
    ],
)
def test_the_model_finds_a_guard_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, take_out: Callable[[pytest.MonkeyPatch], None]
) -> None:
    take_out(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Fleet,
            settings=settings(
                max_examples=2000,
                stateful_step_count=40,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
            ),
        )
