"""The log of one process: a purge is done when the call returns, and can never be missed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cachemw.engine.model.entry import Verdict
from cachemw.invalidation.base import InvalidationLog
from cachemw.invalidation.local import LocalLog
from cachemw.invalidation.purges import Purge, PurgeResult
from tests.support.entries import make_entry


@pytest.fixture
def log() -> LocalLog:
    return LocalLog(1000)


@pytest.mark.parametrize("way", ["purge", "apurge"])
@pytest.mark.parametrize(
    ("purge", "verdict"),
    [
        (Purge(tags=("a",)), Verdict.DEAD),
        (Purge(tags=("a",), soft=True), Verdict.STALE),
        (Purge(tags=None), Verdict.DEAD),
        (Purge(tags=("b",)), Verdict.VALID),
    ],
    ids=["tag", "soft", "all", "other"],
)
def test_a_purge_is_confirmed_when_the_call_returns(
    log: LocalLog, way: str, purge: Purge, verdict: Verdict
) -> None:
    before = make_entry(position=log.floors.current_position(), tags=("a",))
    result = log.purge(purge) if way == "purge" else asyncio.run(log.apurge(purge))
    assert result == PurgeResult(status="confirmed", reached=1)
    assert result.confirmed
    assert log.floors.judge(before) is verdict
    assert (
        log.floors.judge(make_entry(position=log.floors.current_position(), tags=("a",)))
        is Verdict.VALID
    )


def test_it_is_always_live_and_always_trusted(log: LocalLog) -> None:
    as_log: InvalidationLog = log
    as_log.start()
    assert as_log.live
    assert as_log.trust[0] == float("inf")
    assert as_log.serves(0.0, 1e9)
    as_log.stop()
    as_log.finish(0.0)
    assert as_log.live


@pytest.mark.parametrize("status", ["appended", "queued"])
def test_only_a_confirmed_purge_is_confirmed(status: str) -> None:
    assert not PurgeResult(status=status, reached=1).confirmed  # type: ignore[arg-type]


def test_purges_of_many_threads_have_numbers_of_their_own(log: LocalLog) -> None:
    """The guard is the lock around reading the position and moving it."""

    def purge_often() -> None:
        for _ in range(500):
            log.purge(Purge(tags=("a",)))

    threads = [threading.Thread(target=purge_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.floors.position == 2000


def test_a_child_of_a_fork_can_purge_though_a_parents_thread_held_the_lock(log: LocalLog) -> None:
    log._lock.acquire()
    log.floors._lock.acquire()
    log.reset_after_fork()
    assert log.purge(Purge(tags=None)).confirmed
