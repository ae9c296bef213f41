"""Background calls: bounded, and nobody's end."""

from __future__ import annotations

import threading
import time

from cachemw.process.threads import Daemon, StopSignal, WorkerPool
from tests.support.waiting import until

LIMIT = 10.0


def test_few_calls_run_at_a_time_a_few_more_wait_and_the_rest_is_refused() -> None:
    background, gate, lock = WorkerPool(2), threading.Event(), threading.Lock()
    running, most, done = 0, 0, 0

    def call() -> None:
        nonlocal running, most, done
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(LIMIT)
        with lock:
            running -= 1
            done += 1

    taken = sum(background.submit(call) for _ in range(100))
    until(lambda: running == 2)
    gate.set()
    until(lambda: done == taken)
    assert (taken, most) == (18, 2)
    until(lambda: background.submit(call))


def test_a_call_that_ends_its_thread_ends_no_other_call() -> None:
    background, ran = WorkerPool(1), threading.Event()
    gate = threading.Event()

    def ends() -> None:
        gate.wait(LIMIT)
        raise SystemExit

    assert background.submit(ends)
    assert background.submit(ran.set)
    gate.set()
    assert ran.wait(LIMIT)


def close(background: WorkerPool, wait: float) -> None:
    background.stop()
    background.finish(time.monotonic() + wait)


def test_closing_waits_for_what_is_awaited_but_not_for_ever() -> None:
    background, gate, ran = WorkerPool(1), threading.Event(), threading.Event()
    begun = threading.Event()

    def hangs() -> None:
        begun.set()
        gate.wait(LIMIT)

    background.submit(hangs)
    assert begun.wait(LIMIT)
    background.submit(ran.set)
    began = time.monotonic()
    close(background, 0.05)
    assert time.monotonic() - began < 1.0
    gate.set()
    close(background, LIMIT)
    assert ran.is_set()
    again = threading.Event()
    assert background.submit(again.set)
    assert again.wait(LIMIT)


def test_closing_drops_refreshes_in_the_queue_and_leaves_those_that_run() -> None:
    background, gate, ran = WorkerPool(1), threading.Event(), threading.Event()
    begun, let_go = threading.Event(), list[str]()

    def hangs() -> None:
        begun.set()
        gate.wait(LIMIT)

    background.submit(hangs, lambda: let_go.append("running"))
    assert begun.wait(LIMIT)
    background.submit(ran.set, lambda: let_go.append("queued"))
    close(background, LIMIT)  # the test would take as long
    assert not gate.is_set()
    gate.set()
    until(lambda: let_go == ["queued"])
    assert not ran.is_set()


def test_a_signal_handler_may_close_a_pool_that_it_interrupted() -> None:
    # Guard: the lock is reentrant.
    background, closed = WorkerPool(1), threading.Event()

    def interrupted() -> None:
        with background._changed:
            close(background, 0.0)
        closed.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert closed.wait(LIMIT)


def test_a_stop_signal_wakes_who_waits_for_it() -> None:
    signal = StopSignal()
    assert not signal.wait(0.0)
    woken = [threading.Event(), threading.Event()]

    def waits(event: threading.Event) -> None:
        if signal.wait(LIMIT):
            event.set()

    for each in woken:
        threading.Thread(target=waits, args=(each,), daemon=True).start()
    signal.set()
    signal.set()
    assert all(each.wait(LIMIT) for each in woken)
    assert signal.is_set()
    assert signal.wait(0.0)


def test_a_daemon_that_is_started_again_waits_for_the_one_before_it() -> None:
    # Guard: both would write under one name in Redis, and the first would take back the other's heartbeat.
    gate, begun = threading.Event(), list[int]()

    def work(stopping: StopSignal) -> None:
        begun.append(len(begun))
        gate.wait(LIMIT)

    daemon = Daemon(work, "a daemon")
    daemon.start()
    until(lambda: begun == [0])
    assert not daemon.end(time.monotonic())
    daemon.start()
    assert daemon.started
    assert begun == [0]
    gate.set()
    until(lambda: begun == [0, 1])
    assert daemon.end(time.monotonic() + LIMIT)
