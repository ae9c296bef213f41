"""A process begins anew in every child, whoever has forked it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from cachemw.process import fork
from cachemw.process.chance import draw
from tests.support.forks import WAYS, needs_forks

pytestmark = needs_forks

PROGRAM = """
import json, os, subprocess, sys, threading, time
from cachemw.process import fork
from cachemw.process.chance import draw
from tests.support.forks import fork as make_child

way, kind = sys.argv[1:]
if kind == "by process":
    fork._mark = fork._NumberByProcess()
    fork._mark[0] = 1.0
    fork.own_number = fork._NumberByProcess


class Part:
    resets = 0
    def reset_after_fork(self):
        self.resets += 1
        time.sleep(0.05)  # the other threads come meanwhile


def look(number):
    first = number[0], fork.is_forked()
    threads = [threading.Thread(target=fork.notice_fork) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    fork.notice_fork()
    return {"number": first[0], "forked": first[1], "resets": part.resets, "anew": not fork.is_forked(),
            "drawn": draw()}


def child(number, depth=1):
    reader, writer = os.pipe()
    if make_child(way) == 0:
        found = [look(number)]
        number[0] = 7.0
        if depth < 2:
            found += child(number, depth + 1)
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found = json.load(pipe)
    os.wait()
    return found


part, number = Part(), fork.own_number()
fork.reset_in_children(part)
number[0] = 5.0
drawn = [each["drawn"] for each in child(number) + child(number)]
found = child(number)
subprocess.run([sys.executable, "-c", ""], check=True)
json.dump({"children": found, "drawn": [*drawn, draw()], "here": number[0], "forked": fork.is_forked(),
           "resets": part.resets, "kind": type(number).__name__}, sys.stdout)
"""


def run(way: str, kind: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way, kind],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["by page", "by process"])
@pytest.mark.parametrize("way", WAYS)
def test_each_child_notices_that_it_is_one_once_and_its_parent_never(way: str, kind: str) -> None:
    # Guards: MADV_WIPEONFORK and the comparison of process ids; the lock in `notice_fork`.
    found = run(way, kind)
    child, grandchild = found["children"]
    noticed_by_hook = way == "python"
    assert (child["number"], grandchild["number"]) == (0.0, 0.0)
    assert (child["forked"], grandchild["forked"]) == (not noticed_by_hook,) * 2
    assert (child["resets"], grandchild["resets"]) == (1, 2)
    assert child["anew"]
    assert grandchild["anew"]
    # `subprocess` runs another program by vfork, whose child has its parent's memory.
    assert (found["here"], found["forked"], found["resets"]) == (5.0, False, 0)
    assert found["kind"] == ("memoryview" if kind == "by page" else "_NumberByProcess")
    # Guard: the generator of its own, seeded anew.
    assert len(set(found["drawn"])) == 5


def test_what_cannot_be_reset_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guard: the mark is set last.
    monkeypatch.setattr(fork, "_mark", [0.0])
    monkeypatch.setattr(fork, "_registered", {Failing()})
    with pytest.raises(RuntimeError):
        fork.notice_fork()
    assert fork.is_forked()
    fork.notice_fork()
    assert not fork.is_forked()


class Failing:
    """A part that can be reset at the second attempt only."""

    failed = False

    def reset_after_fork(self) -> None:
        if not self.failed:
            self.failed = True
            raise RuntimeError


def test_numbers_are_drawn_between_nothing_and_one() -> None:
    assert all(0.0 <= draw() < 1.0 for _ in range(100))
