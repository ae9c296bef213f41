"""The end of a process: all of its caches at once, against one deadline, however it comes about."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from cachemw import Cache
from cachemw.process.exit import CLOSE_WAIT
from cachemw.process.threads import StoppableThread
from cachemw.testing import ChaosProxy, RedisServer
from tests.support.caches import caches_over, options
from tests.support.waiting import until

FOLLOWERS = "cachemw:{shared}:followers"
BUSY = 3.0
"""Seconds by which a busy machine may delay the end of a process."""

BEGIN = """
import asyncio, atexit, json, multiprocessing, os, signal, sys, threading, time
from cachemw import Cache

def make():
    cache = Cache.from_dict(json.loads(sys.argv[1]))
    cache.start()
    return cache

def follow(cache):
    ends = time.monotonic() + 20
    while not cache.log.live:
        assert time.monotonic() < ends
        time.sleep(0.002)

def say(line):
    print(line, flush=True)
"""


class Program:
    """A process of its own that runs a few lines of Python."""

    def __init__(self, lines: str, url: str, **changes: Any) -> None:
        config = json.dumps(options(url, **{"log": {"poll": "300ms"}, **changes}))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", BEGIN + lines, config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self, line: str) -> None:
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if said != f"{line}\n":
            self.process.kill()
            raise AssertionError(said + self.process.communicate()[1])

    def ends(self) -> float:
        """Let it go on to its end, which is to be in order; return the seconds that it took."""
        began = time.monotonic()
        try:
            _, errors = self.process.communicate("go on\n", timeout=60)
        finally:
            self.process.kill()
        assert self.process.returncode == 0, errors
        assert "Traceback" not in errors
        return time.monotonic() - began


def test_all_caches_of_a_process_end_at_once(redis_server: Any, redis_url: str) -> None:
    # Guards: all are told to end before any is waited for, and are woken. With a poll of 20 s, one that
    # is not woken is left after the deadline, and its heartbeat stays.
    program = Program(
        """
caches = [make() for _ in range(20)]
for each in caches: follow(each)
say("ready"); sys.stdin.readline()
""",
        redis_url,
        log={"poll": "20s"},
    )
    program.says("ready")
    assert redis_server.command("HLEN", FOLLOWERS) == 20
    assert program.ends() < CLOSE_WAIT + BUSY
    assert redis_server.command("HLEN", FOLLOWERS) == 0


@pytest.mark.parametrize("away", [pytest.param("hang", marks=pytest.mark.thorough), "kill"])
def test_a_redis_that_is_away_holds_no_end_up(away: str, own_redis_server: RedisServer) -> None:
    # Guard: the deadline is that of all caches together. Redis may take 2 s for each answer here.
    program = Program(
        """
caches = [make() for _ in range(8)]
for each in caches: follow(each)
say("ready"); sys.stdin.readline()
for each in caches: threading.Thread(target=each.purge, kwargs={"tags": ["a"]}).start()
while not all(each._core.redis.log.appender.queued for each in caches): time.sleep(0.01)
say("queued"); sys.stdin.readline()
""",
        own_redis_server.url,
    )
    program.says("ready")
    getattr(own_redis_server, away)()
    assert program.process.stdin is not None
    program.process.stdin.write("\n")
    program.process.stdin.flush()
    program.says("queued")
    assert program.ends() < CLOSE_WAIT + BUSY


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_takes_its_heartbeat_back(
    method: str, redis_server: Any, redis_url: str
) -> None:
    # Guard: `install`, in each process anew: such a child ends by `os._exit`.
    program = Program(
        f"""
if __name__ == "__main__":
    before = make(); follow(before); before.close()
    import tests.redis.spawned as spawned
    child = multiprocessing.get_context({method!r}).Process(target=spawned.work, args=(sys.argv[1],))
    child.start(); child.join()
    assert child.exitcode == 0
    say("ended"); sys.stdin.readline()
""",
        redis_url,
    )
    program.says("ended")
    assert redis_server.command("HLEN", FOLLOWERS) == 0
    assert redis_server.command("EXISTS", "cachemw:{shared}:epoch") == 1  # it did follow
    program.ends()


@pytest.mark.parametrize("fork", ["os.fork", "ctypes.PyDLL(None).fork"])
def test_a_cache_is_closed_twice_in_the_parent_and_in_a_forked_child(
    fork: str, redis_server: Any, redis_url: str
) -> None:
    # Guard: a child neither waits for its parent's threads, nor cuts its parent's connections; also one
    # that a server forks in C, where no hook of Python runs.
    program = Program(
        f"""
import ctypes, warnings
warnings.simplefilter("ignore", DeprecationWarning)
cache = make(); follow(cache)
while not cache._core.redis.log._waiting: pass
child = {fork}()
if not child:
    began = time.monotonic()
    cache.close(); cache.close()
    os._exit(time.monotonic() - began > 1.0)
assert os.waitpid(child, 0)[1] == 0
alive = cache.log.alive_at
while cache.log.alive_at == alive: time.sleep(0.01)
assert cache.log.live and "breaker_opened" not in cache.stats().events
say("follows"); sys.stdin.readline()
cache.close(); cache.close()
assert threading.active_count() == 1
""",
        redis_url,
    )
    program.says("follows")
    assert redis_server.command("HLEN", FOLLOWERS) == 1
    program.ends()
    assert redis_server.command("HLEN", FOLLOWERS) == 0


def test_a_signal_handler_may_close_a_cache_whatever_it_interrupts(redis_url: str) -> None:
    # Guards: reentrant locks in what closing goes through, and signals to threads that take no lock.
    program = Program(
        """
cache = make(); follow(cache)
closed = 0
def close(*_):
    global closed
    cache.close()
    closed += 1
signal.signal(signal.SIGALRM, close)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.011)
ends = time.monotonic() + 30
while closed < 20:
    assert time.monotonic() < ends, closed
    cache.start()
    cache.rollout.ensure_control()
    cache._core.workers.submit(int)
    cache.purge(tags=["a"])
signal.setitimer(signal.ITIMER_REAL, 0)
say("closed"); sys.stdin.readline()
""",
        redis_url,
        log={"poll": "300ms", "confirm_wait": "0ms"},
    )
    program.says("closed")
    program.ends()


def test_a_cache_that_is_closed_while_others_start_it_has_one_thread_or_none(
    redis_server: Any, redis_url: str
) -> None:
    # Guard: what is waited for is what was told to end, also if another thread starts it meanwhile.
    program = Program(
        """
cache = make()
over = threading.Event()
def start():
    while not over.is_set(): cache.start()
def close():
    while not over.is_set(): cache.close(); time.sleep(0.003)
others = [threading.Thread(target=each) for each in (start, start, close, close)]
for each in others: each.start()
ends = time.monotonic() + 0.7
while time.monotonic() < ends:
    names = [each.name for each in threading.enumerate()]
    time.sleep(0.005)
over.set()
for each in others: each.join()
cache.start(); follow(cache)
while sum(each.name == "cachemw-log" for each in threading.enumerate()) > 1: time.sleep(0.01)
say("follows"); sys.stdin.readline()
cache.close()
assert threading.active_count() == 1, threading.enumerate()
""",
        redis_url,
    )
    program.says("follows")
    until(lambda: redis_server.command("HLEN", FOLLOWERS) == 1)
    program.ends()
    assert redis_server.command("HLEN", FOLLOWERS) == 0


def test_where_no_thread_can_be_started_a_purge_is_queued_and_closing_sends_it(
    own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: as Python shuts down, and on a machine without a free thread, `Thread.start` raises.
    def no_thread(_: StoppableThread) -> None:
        raise RuntimeError("can't start new thread")

    with ChaosProxy(own_redis_server.url) as proxy:
        cache = Cache.from_dict(options(proxy.url))
        cache.purge(tags=["a-first-one"])
        proxy.refuse()
        proxy.cut()
        monkeypatch.setattr(StoppableThread, "start", no_thread)
        assert cache.purge(tags=["a-last-one"]).status == "queued"
        cache.start()
        proxy.normal()
        cache.close()
    log = own_redis_server.command("XRANGE", "cachemw:{shared}:log", "-", "+")
    assert "a-last-one" in str(log)


@pytest.mark.thorough
@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_purges_wait_for_a_process_that_could_not_take_its_heartbeat_back(
    end: str, redis_url: str, age_log: Any
) -> None:
    # What docs/operating.md says of it: *appended*, until three polls have passed.
    age_log("shared")
    log = {"poll": "1s", "confirm_wait": "10ms"}
    program = Program(
        f"""
cache = make(); follow(cache)
say("follows"); sys.stdin.readline()
{end}
""",
        redis_url,
        log=log,
    )
    program.says("follows")
    program.process.communicate("go on\n", timeout=60)
    cache = Cache.from_dict(options(redis_url, log=log))
    try:
        first = cache.purge(tags=["a"])
        assert (first.status, first.waiting) == ("appended", 1)
        until(lambda: cache.purge(tags=["a"]).confirmed)
    finally:
        cache.close()


def test_a_process_that_leaves_the_log_serves_nothing_from_memory(redis_url: str) -> None:
    # Guard: `Trust.suspend` in `_leave`. No purge waits for it any more, and a server lets requests end.
    with caches_over(redis_url) as caches:
        log: Any = caches.make().log
        until(lambda: log.trust[0] > 0)
        log.stop()
        log.finish(time.monotonic() + 5.0)
        assert log.trust[0] == 0.0
        assert not log.serves(time.monotonic(), time.monotonic())
