"""One call in the background: who waits shares it, who comes later makes another, nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachemw.connections.opening.shared_call import SharedCall
from tests.support.waiting import until


class Source:
    """A function that counts its calls, and waits for `go`."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        self.go.wait(20.0)
        return number


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.go.set()


def test_each_caller_after_the_other_gets_a_call_of_its_own(source: Source) -> None:
    # Guard: a result that somebody has had is not kept.
    call = SharedCall(source)
    assert [call.result(5.0), asyncio.run(call.aresult(5.0)), call.result(5.0)] == [1, 2, 3]


def test_callers_at_once_share_a_call(source: Source) -> None:
    source.go.clear()
    call = SharedCall(source)
    with ThreadPoolExecutor(8) as threads:
        results = [threads.submit(call.result, 10.0) for _ in range(8)]
        until(lambda: all(each.running() for each in results))
        source.go.set()
        assert {each.result() for each in results} <= {1, 2}


def test_a_result_that_came_too_late_serves_the_next(source: Source) -> None:
    # Guard: `_has_unused`; a slow provider would be asked for ever, and each answer be dropped.
    source.go.clear()
    call = SharedCall(source)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            call.result(0.01)
    with pytest.raises(TimeoutError):
        asyncio.run(call.aresult(0.01))
    source.go.set()
    until(lambda: not call.running)
    assert call.result(5.0) == 1


def test_an_error_is_raised_and_the_next_call_is_a_new_one() -> None:
    errors = [ValueError("first"), None]

    def function() -> str:
        error = errors.pop(0)
        if error is not None:
            raise error
        return "second"

    call = SharedCall(function)
    with pytest.raises(ValueError, match="first"):
        call.result(5.0)
    assert call.result(5.0) == "second"


def test_a_child_process_does_not_wait_for_a_call_of_its_parent(source: Source) -> None:
    source.go.clear()
    call = SharedCall(source)
    call.start()
    call.reset_after_fork()
    source.go.set()
    assert call.result(5.0) == 2
