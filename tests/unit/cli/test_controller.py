"""`cachemw controller` as the process that it is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from cachemw.testing import RedisServer
from tests.support.waiting import until

from .running import CONFIG, Run, Site

Write = Callable[[str], str]
Spawn = Callable[..., "subprocess.Popen[str]"]

LEASE = "cachemw:{cli}:rollout:lease"
PLAN = """
holdout = "5%"
warm_up = 0
hold = "300ms"

[[phases]]
name = "only"
risks = ["low"]
duration = "200ms"
interval = "50ms"
steps = ["canary 10%", "on"]
watch = ["errors"]
"""


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def spawned(fleet_file: str) -> Iterator[Spawn]:
    """Give the function that begins a controller, which has said that it controls."""
    begun: list[subprocess.Popen[str]] = []

    def spawn(*options: str, config: str = fleet_file) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "cachemw", "controller", "--config", config, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        assert process.stderr is not None
        assert process.stderr.readline() == "Controlling cli.\n"
        return process

    yield spawn
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def plan_file(tmp_path: Path) -> str:
    """Give a plan that waits for evidence for hours."""
    path = tmp_path / "slow.toml"
    path.write_text(PLAN.replace("200ms", "2h").replace("50ms", "200ms"))
    return str(path)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Give how a process ended, and what it had to say."""
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in err
    return process.returncode, out + err


def status(run: Run) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("rollout", "status", "--json").stdout)
    return document


def test_it_takes_the_lease_of_a_rollout_and_gives_it_back_when_told_to_end(
    run: Run, spawned: Spawn, redis: Redis, plan_file: str
) -> None:
    """Fails when the lease is not given back: the next one would wait for it to run out."""
    process = spawned()
    assert not redis.exists(LEASE)
    run("rollout", "start", "--plan", plan_file)
    until(lambda: redis.exists(LEASE) == 1)
    assert 0 < redis.pttl(LEASE) <= 5000  # type: ignore[operator]
    until(lambda: status(run)["watched"] > 0)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (0, "")
    assert not redis.exists(LEASE)
    assert status(run)["status"] == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_well_also_without_a_rollout(
    spawned: Spawn, number: signal.Signals
) -> None:
    process = spawned()
    process.send_signal(number)
    assert ended(process) == (0, "")


def test_a_rollout_for_which_no_evidence_comes_is_paused(
    run: Run, spawned: Spawn, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(PLAN)
    spawned()
    run("rollout", "start", "--plan", str(path), "--by", "ada")
    until(lambda: status(run)["status"] == "paused")
    assert status(run)["reason"] == "not enough evidence: errors in 0.3 s"
    records = json.loads(run("rollout", "history", "--json").stdout)
    assert [each["action"] for each in records] == ["start", "hold", "pause"]
    assert records[0]["by"] == "ada"
    assert {each["by"].partition(" ")[0] for each in records[1:]} == {"controller"}


@pytest.mark.thorough
def test_it_moves_what_processes_do_that_have_no_controller_of_their_own(
    run: Run, spawned: Spawn, write: Write, redis_url: str, plan_file: str
) -> None:
    path = write(CONFIG.format(url=redis_url) + "\n[rollout]\ncontroller = false\n")
    site = Site(path)
    site.cache.start()
    until(lambda: site.cache.log.live)
    spawned(config=path)
    run("rollout", "start", "--plan", plan_file)
    until(lambda: site.cache.flags.states()["low"] == "canary 10%")
    run("rollout", "rollback")
    until(lambda: site.cache.flags.states()["low"] == "off")
    until(lambda: not status(run)["check_due"], 60)
    last = json.loads(run("rollout", "history", "--json").stdout)[-1]
    assert last["action"] == "health check"
    assert last["reason"].startswith("inconclusive: errors: 0.00% of 0 answers failed")
    site.cache.close()


def test_it_is_no_process_of_the_fleet(run: Run, spawned: Spawn, plan_file: str) -> None:
    """Fails when it counts itself: a component would seem to be there, and purges wait for it."""
    spawned()
    run("rollout", "start", "--plan", plan_file)
    until(lambda: status(run)["watched"] > 0)
    assert json.loads(run("stats", "--json").stdout)["processes"] == []
    assert "no process" in run("purge", "--everything").stdout.lower()


def test_once_ends_by_itself_where_there_is_nothing_to_control(spawned: Spawn) -> None:
    assert ended(spawned("--once")) == (0, "")


def test_once_ends_with_the_rollout(run: Run, spawned: Spawn, redis: Redis, plan_file: str) -> None:
    run("rollout", "start", "--plan", plan_file)
    process = spawned("--once")
    until(lambda: status(run)["watched"] > 0)
    run("rollout", "promote")
    run("rollout", "promote")
    assert status(run)["status"] == "complete"
    assert ended(process) == (0, "")
    assert not redis.exists(LEASE)


@pytest.mark.thorough
def test_of_two_the_second_takes_over_within_ten_seconds_of_the_death_of_the_first(
    run: Run, spawned: Spawn, redis: Redis, plan_file: str
) -> None:
    """Fails when the lease does not run out, and when the second does not ask for it."""
    first = spawned()
    run("rollout", "start", "--plan", plan_file)
    until(lambda: redis.exists(LEASE) == 1)
    holder = redis.get(LEASE)
    spawned()
    before = status(run)["watched"]
    until(lambda: status(run)["watched"] > before)
    assert redis.get(LEASE) == holder
    first.kill()
    first.wait()
    died = time.monotonic()
    until(lambda: redis.get(LEASE) not in (None, holder))
    watched = status(run)["watched"]
    until(lambda: status(run)["watched"] > watched)
    assert time.monotonic() - died < 10


def test_of_two_the_second_takes_over_at_once_where_the_first_is_told_to_end(
    run: Run, spawned: Spawn, redis: Redis, plan_file: str
) -> None:
    first = spawned()
    run("rollout", "start", "--plan", plan_file)
    until(lambda: redis.exists(LEASE) == 1)
    holder = redis.get(LEASE)
    spawned()
    first.terminate()
    assert ended(first)[0] == 0
    ended_at = time.monotonic()
    until(lambda: redis.get(LEASE) not in (None, holder))
    assert time.monotonic() - ended_at < 3


def test_it_goes_on_when_redis_was_away(
    run: Run, write: Write, own_redis_server: RedisServer, spawned: Spawn, plan_file: str
) -> None:
    """Fails when a store that is away ends it. Redis comes back without the rollout, which it knows."""
    path = write(CONFIG.format(url=own_redis_server.url))
    process = spawned(config=path)
    run("rollout", "start", "--plan", plan_file)
    until(lambda: status(run)["watched"] > 0)
    own_redis_server.kill()
    run("rollout", "status", code=1)
    own_redis_server.start()
    until(lambda: (status(run) or {"watched": 0})["watched"] > 0, 20)
    process.terminate()
    assert ended(process)[0] == 0


def test_where_there_is_nothing_to_control_or_no_redis_it_ends_with_one_line(
    run: Run, write: Write, own_redis_server: RedisServer
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    said = run("controller", code=1).stderr
    assert said == (
        "Error: the configuration has no `redis` setting: there are no other"
        " processes whose rollout could be controlled\n"
    )
    write(CONFIG.format(url=own_redis_server.url))
    own_redis_server.kill()
    said = run("controller", code=1).stderr
    assert said.endswith("nothing can be controlled\n")
    assert said.count("\n") == 1
    # A command that has not begun leaves its process as it was.
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
