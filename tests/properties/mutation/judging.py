"""How one mutant is put in place and judged.

The tests are collected once. A first run, in a process of its own, notes how long each test takes, and
which of the functions it calls and which of their lines it runs. Each mutant is then a fork of this
process: it exchanges the code of one function (or one constant, wherever it was imported), and runs the
tests that call it until one fails: first those that run the line, and of these the quickest first. Nothing
that a mutant does reaches the next one.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import select
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from .operators import Mutant
from .targets import DOORS

__all__ = ["Judge", "Outcome"]

FIRST_RUN = 900.0
"""Seconds for the run without a mutant."""

BUDGET = 4.0
"""Seconds of CPU, in the first run, of the quickest tests that judge one mutant. A rule that needs slower
tests than these is not tested well."""

TIMEOUT = 60.0
"""Seconds for one mutant. One that hangs counts as killed, as a test that hangs would fail."""

Outcome = tuple[Mutant, str]
"""A mutant, and the test that failed for it; empty: it survived."""


@dataclass
class Judge:
    """A pytest plugin that runs the collected tests once for each mutant."""

    modules: Collection[str]
    mutants: Callable[[], Iterator[Mutant]]
    report: Callable[[Mutant, str], None]
    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, set[str]] = field(default_factory=dict)
    """By the node id of a test: the functions it calls, as `module:qualified name`, and the lines it runs
    in them, as `module:number`."""

    def pytest_collection(self) -> None:
        """Try the same examples for each mutant, and do not look for the smallest that fails."""
        # Not at the top: pytest warns of what is imported before its plugins.
        from hypothesis import Phase, settings

        usual = settings.get_profile("quick")
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutation", usual, phases=phases, derandomize=True, database=None)
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the tests of the other front doors, which run the same engine."""
        chosen = [f"[{door}" for door in DOORS]
        items[:] = [
            item
            for item in items
            if "/doors/" not in item.nodeid or any(door in item.nodeid for door in chosen)
        ]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge every mutant, in place of one run of the tests."""
        if session.testsfailed or not session.items:
            return True
        first = json.loads(_in_fork(lambda: self._first_run(session), FIRST_RUN) or "null")
        if first is None:
            raise pytest.UsageError("the first run, without a mutant, did not end")
        for test in first["failed"]:  # it cannot judge; timing under the tracer, for example
            print(f"fails without a mutant, and is left out: {test}", flush=True)
        self.seconds = first["seconds"]
        self.reached = {test: set(names) for test, names in first["reached"].items()}
        gc.collect()
        gc.freeze()  # a collection in a fork would copy all memory
        for mutant in self.mutants():
            tests = self._tests_for(session, mutant)
            answer = _in_fork(lambda m=mutant, t=tests: _judge(session, m, t), TIMEOUT)
            self.report(mutant, "a timeout" if answer is None else answer)
        return True

    def _first_run(self, session: pytest.Session) -> str:
        files = {importlib.import_module(name).__file__: name for name in self.modules}
        called: set[str] = set()

        def note_call(frame: types.FrameType, event: str, _: Any) -> Any:
            if frame.f_code.co_filename not in files:
                return None
            called.add(f"{files[frame.f_code.co_filename]}:{frame.f_code.co_qualname}")
            return note_line

        def note_line(frame: types.FrameType, event: str, _: Any) -> Any:
            if event == "line":
                called.add(f"{files[frame.f_code.co_filename]}:{frame.f_lineno}")
            return note_line

        seconds, reached, failed = {}, {}, []
        threading.settrace(note_call)
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            called.clear()
            began = time.process_time()  # a busy machine must not change which tests judge
            sys.settrace(note_call)
            passed = _run(item, following)
            sys.settrace(None)
            seconds[item.nodeid] = time.process_time() - began
            reached[item.nodeid] = sorted(called)
            if not passed:
                failed.append(item.nodeid)
                reached[item.nodeid] = []
        return json.dumps({"seconds": seconds, "reached": reached, "failed": failed})

    def _tests_for(self, session: pytest.Session, mutant: Mutant) -> list[pytest.Item]:
        name = f"{mutant.module}:{mutant.function}"
        items = [
            item
            for item in session.items
            if (
                name in self.reached[item.nodeid]
                if mutant.function
                else self._touches(item, mutant)
            )
        ]
        line = f"{mutant.module}:{mutant.line}"
        # The tests of the module, and then those of its folder, know the rule best.
        _, *folders, module = mutant.module.split(".")
        folder = "/".join(["tests/unit", *folders, ""])
        mirror = f"{folder}test_{module}"

        def order(item: pytest.Item) -> tuple[bool, bool, bool, float]:
            name = item.nodeid
            far, farther = not name.startswith(mirror), not name.startswith(folder)
            return line not in self.reached[name], far, farther, self.seconds[name]

        items.sort(key=order)
        spent = itertools.accumulate(self.seconds[item.nodeid] for item in items)
        return [item for item, seconds in zip(items, spent, strict=True) if seconds < BUDGET]

    def _touches(self, item: pytest.Item, mutant: Mutant) -> bool:
        """Tell whether a test calls anything in the module of a mutant."""
        return any(name.startswith(f"{mutant.module}:") for name in self.reached[item.nodeid])


def _judge(session: pytest.Session, mutant: Mutant, items: list[pytest.Item]) -> str:
    """Return the test that kills a mutant, or nothing."""
    try:
        _exchange(mutant)
    except Exception as error:
        return f"import: {error!r}"
    for item, following in zip(items, [*items[1:], None], strict=True):
        if not _run(item, following):
            session._setupstate.teardown_exact(None)
            return item.nodeid
    return ""


def _run(item: pytest.Item, following: pytest.Item | None) -> bool:
    reports = runtestprotocol(item, log=False, nextitem=following)
    return not any(report.failed for report in reports)


def _exchange(mutant: Mutant) -> None:
    """Put a mutant in place of the code that is imported."""
    module = importlib.import_module(mutant.module)
    if mutant.function:
        _function(module, mutant.function).__code__ = _code(mutant.code, mutant.function)
        return
    changed = types.ModuleType(mutant.module)
    changed.__file__ = module.__file__
    exec(mutant.code, changed.__dict__)
    for name, old in list(vars(module).items()):
        new = getattr(changed, name, old)
        if isinstance(old, type | types.FunctionType | types.ModuleType) or name.startswith("__"):
            continue
        if new != old:
            _exchange_everywhere(name, old, new)


def _exchange_everywhere(name: str, old: object, new: object) -> None:
    """Set a constant in its module, and wherever it was imported from there."""
    for module in list(sys.modules.values()):
        ours = getattr(module, "__name__", "").startswith("cachemw")
        if ours and vars(module).get(name) is old:
            setattr(module, name, new)


def _function(module: types.ModuleType, name: str) -> types.FunctionType:
    owner: Any = module
    for part in name.split("."):
        owner = vars(owner)[part]
    owner = getattr(owner, "fget", None) or getattr(owner, "__func__", owner)
    while hasattr(owner, "__wrapped__"):
        owner.cache_clear()
        owner = owner.__wrapped__
    return owner


def _code(within: types.CodeType, name: str) -> types.CodeType:
    for each in within.co_consts:
        if isinstance(each, types.CodeType):
            if each.co_qualname == name:
                return each
            if name.startswith(each.co_qualname + "."):
                return _code(each, name)
    raise LookupError(name)


def _in_fork(work: Callable[[], str], timeout: float) -> str | None:
    """Return what a function returns in a fork of this process; None if it takes too long or dies."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(ours)
        try:
            _quiet()
            answer = work()
            with os.fdopen(theirs, "w") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        if select.select([pipe], [], [], timeout)[0]:
            answer = pipe.read()
        else:
            answer = None
            os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return answer if status == 0 else None


def _quiet() -> None:
    """Write nothing from the tests of a mutant: its failures are expected."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
