"""A cold key asked for by many processes at once, over a real server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.connections.nodes import Nodes
from cachemw.engine.core.effects import Claim, Lease
from cachemw.engine.model.entry import Key
from cachemw.errors import StoreUnavailable
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.key_names import name_of
from cachemw.stores.redis.leases import Leases
from cachemw.testing import ChaosProxy, FakeClock, RedisServer
from tests.support.caches import Caches, Site
from tests.support.waiting import until

from .crowd import CALLS, LEASE, MOST, TIMES

CROWD = Path(__file__).with_name("crowd.py")
PROCESSES, CLIENTS = 8, 50
PATIENCE = 60


def crowd(server: RedisServer, mode: str) -> list[dict[str, Any]]:
    """Let processes with clients ask at once; give what those that lived report."""
    command = [sys.executable, str(CROWD), server.url, mode, str(CLIENTS)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = [worker.communicate(timeout=PATIENCE)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return [json.loads(text) for text in said if text]


def calls(server: RedisServer) -> int:
    count = server.command("GET", CALLS)
    assert isinstance(count, bytes)
    return int(count)


@pytest.mark.parametrize(
    ("mode", "processes", "times"),
    [
        # Guard: `_leased` in `_lead`. Without it there is a call for each process.
        ("kept", PROCESSES, 1),
        # Guard: `renew` in `RedisParts._tick`. The application takes longer than a lease.
        pytest.param("slow", PROCESSES, 1, marks=pytest.mark.thorough),
        # Guard: the lease's time to live, which is shorter than the others wait.
        pytest.param("killed", PROCESSES - 1, 2, marks=pytest.mark.thorough),
    ],
)
def test_the_application_is_called_once_and_again_if_the_process_that_leads_is_killed(
    own_redis_server: RedisServer, mode: str, processes: int, times: int
) -> None:
    reports = crowd(own_redis_server, mode)
    answers = [tuple(answer) for report in reports for answer in report["answers"]]
    assert len(answers) == processes * CLIENTS
    assert set(answers) == {(200, f"call {times}")}
    assert calls(own_redis_server) == times


@pytest.mark.thorough
def test_a_lease_that_was_renewed_ends_with_its_process(own_redis_server: RedisServer) -> None:
    reports = crowd(own_redis_server, "killed-late")
    answers = [tuple(answer) for report in reports for answer in report["answers"]]
    assert set(answers) == {(200, "call 2")}
    times: Any = own_redis_server.command("LRANGE", TIMES, 0, -1)
    began, killed, called = map(float, times)
    assert killed - began >= 2 * LEASE
    assert called - killed < LEASE + 1.0, "no longer than it lasts; the machine is busy"


@pytest.mark.thorough
def test_nobody_queues_for_what_cannot_be_kept(own_redis_server: RedisServer) -> None:
    # Guard: the marker that `refuse` leaves in the lease's place. Without it the processes take
    # turns: the calls of one end while those of the next begin.
    reports = crowd(own_redis_server, "refused")
    answers = [tuple(answer) for report in reports for answer in report["answers"]]
    assert len({body for _, body in answers}) == PROCESSES * CLIENTS == calls(own_redis_server)
    most: Any = own_redis_server.command("ZSCORE", MOST, "calls")
    assert float(most) > 2 * CLIENTS


def test_a_stale_answer_is_renewed_by_one_process(caches: Caches) -> None:
    # Guard: `leads_refresh`, asked before a refresh calls the application.
    lifetime, began = 0.4, time.monotonic()
    route = {"path": "/things/{id}", "ttl": lifetime, "stale_while_revalidate": "1h"}
    sites = [Site(caches.make(routes=[route])) for _ in range(4)]
    path = "/things/renewed"

    def stale() -> bool:
        return all("detail=stale" in site.get(path).cache_status for site in sites)

    def calls() -> int:
        return sum(site.calls for site in sites)

    for site in sites:
        until(lambda site=site: site.hits(path))  # type: ignore[misc]
    for _ in range(3):  # all four are stale at once, and each begins to renew
        before = calls()
        until(stale)
        until(lambda before=before: calls() > before)  # type: ignore[misc]
        until(lambda: all(not site.cache._core.engine.flights.open for site in sites))
    assert calls() <= 1 + (time.monotonic() - began) / lifetime, "one for each lifetime at the most"


def test_explaining_takes_no_lease(caches: Caches) -> None:
    # Guard: `Acquire` in `explain._impatient`. Else a real miss waits for a call that nobody makes.
    cache = caches.make(coalesce={"lease": "30s"})
    told = cache.explain("GET", "http://shop.example/things/explained")
    assert told.reason == "uri-miss"
    site = Site(cache)
    began = time.monotonic()
    assert "stored" in site.get("/things/explained").cache_status
    assert time.monotonic() - began < 2.0


# The leases themselves ---------------------------------------------------------------------------------

KEY = Key(b"0123456789abcdef", b"full")


@pytest.fixture
def leases(own_redis_server: RedisServer) -> Leases:
    nodes = Nodes(RedisConfig(url=own_redis_server.url, deadline="2s"))
    commands = Commands(nodes, lambda event, reason: None)
    return Leases(commands, "leases", lifetime=0.2, remembered=0.3, monotonic=time.monotonic)


def taken(leases: Leases) -> Lease:
    lease = leases.acquire(KEY)
    assert isinstance(lease, Lease), lease
    return lease


def test_of_many_only_one_has_it(leases: Leases) -> None:
    found: list[Lease | Claim] = []
    threads = [threading.Thread(target=lambda: found.append(leases.acquire(KEY))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Lease) for each in found) == 1
    assert found.count(Claim.HELD) == 7


def test_it_is_free_when_it_is_given_back(leases: Leases) -> None:
    leases.settle(taken(leases), uncacheable=False)
    assert taken(leases)


def test_it_ends_by_itself(leases: Leases) -> None:
    taken(leases)
    assert leases.acquire(KEY) is Claim.HELD
    until(lambda: isinstance(leases.acquire(KEY), Lease))


def test_the_word_that_nobody_need_wait_is_remembered_for_a_time(leases: Leases) -> None:
    leases.settle(taken(leases), uncacheable=True)
    assert leases.acquire(KEY) is Claim.UNCACHEABLE
    until(lambda: isinstance(leases.acquire(KEY), Lease))


@pytest.mark.parametrize("uncacheable", [False, True])
def test_only_its_own_holder_gives_it_back(leases: Leases, uncacheable: bool) -> None:
    """The guard is the token: a lease that ran out is somebody else's by now."""
    late = taken(leases)
    until(lambda: isinstance(leases.acquire(KEY), Lease))
    leases.settle(late, uncacheable)
    assert leases.acquire(KEY) is Claim.HELD


def test_whatever_stands_in_a_lease_s_place_costs_no_more_than_a_token(
    leases: Leases, own_redis_server: RedisServer
) -> None:
    # Guard: the scripts read no more of it. With it all, this would be a hundred megabytes.
    own_redis_server.command("SETRANGE", name_of("leases", KEY, "lease"), 100_000_000, "x")
    before = sent(own_redis_server)
    assert leases.acquire(KEY) is Claim.HELD
    assert sent(own_redis_server) - before < 10_000


def sent(server: RedisServer) -> int:
    lines = server.command("INFO", "stats").split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in lines if b"total_net_output_bytes" in line)


# Renewing ------------------------------------------------------------------------------------------------

NAME = f"cachemw:{{leases:{KEY.digest.hex()}}}:lease"
LIFETIME = 30.0


class Renewed:
    """Leases that last long, one of them taken and made to end soon; what becomes of that is seen."""

    def __init__(self, server: RedisServer) -> None:
        self.clock = FakeClock()
        self._server = server
        nodes = Nodes(RedisConfig(url=server.url, deadline="2s"))
        self.leases = Leases(
            Commands(nodes, lambda event, reason: None),
            "leases",
            lifetime=LIFETIME,
            remembered=LIFETIME,
            monotonic=self.clock.monotonic,
        )
        self.lease: Lease | None = taken(self.leases)
        server.command("PEXPIRE", NAME, 5000)

    def after(self, seconds: float) -> bool:
        """Say whether a round of renewals, so much later, makes it last its lifetime again."""
        self.clock.advance(seconds)
        self.leases.renew()
        left = self._server.command("PTTL", NAME)
        assert isinstance(left, int)
        self._server.command("PEXPIRE", NAME, 5000)
        return left > 5000


@pytest.fixture
def renewed(own_redis_server: RedisServer) -> Renewed:
    return Renewed(own_redis_server)


def test_a_lease_is_renewed_when_a_third_of_its_life_is_over(renewed: Renewed) -> None:
    assert not renewed.after(9)
    assert renewed.after(2)
    assert not renewed.after(9)
    assert renewed.after(2)


def test_a_call_that_never_ends_holds_its_lease_for_a_bounded_time(renewed: Renewed) -> None:
    # Guard: `_LONGEST`.
    assert [renewed.after(seconds) for seconds in (20, 20, 19, 20)] == [True, True, True, False]


def test_a_lease_that_nobody_holds_any_more_is_not_renewed(renewed: Renewed) -> None:
    """On whatever way it was dropped. The guard is that the reference to it is weak."""
    renewed.lease = None
    assert not renewed.after(11)


def test_a_lease_that_was_dropped_is_given_back_although_somebody_refers_to_it(
    renewed: Renewed, own_redis_server: RedisServer
) -> None:
    """As the traceback of a cancelled task does. The guard is `dropped` in `Leases._due`."""
    assert renewed.lease is not None
    renewed.lease.dropped = True
    assert not renewed.after(11)
    renewed.leases.settle_deferred()
    assert own_redis_server.command("EXISTS", NAME) == 0


def test_a_lease_of_somebody_else_is_not_renewed(
    renewed: Renewed, own_redis_server: RedisServer
) -> None:
    # Guard: the token in the script.
    own_redis_server.command("SET", NAME, "another", "PX", 5000)
    assert not renewed.after(11)


def test_a_lease_of_the_parent_is_not_renewed_in_a_child(renewed: Renewed) -> None:
    renewed.leases.reset_after_fork()
    assert not renewed.after(11)


def test_the_leases_that_are_renewed_are_bounded(
    renewed: Renewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: what is over the bound ends by itself."""
    monkeypatch.setattr("cachemw.stores.redis.leases._MOST", 0)
    assert renewed.lease is not None
    renewed.leases.settle(renewed.lease, uncacheable=False)
    renewed.lease = taken(renewed.leases)
    renewed.after(0)
    assert not renewed.after(11)


def test_a_round_of_renewals_ends_in_time_and_the_next_goes_on(
    renewed: Renewed, own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's own thread makes it. The guard is `_BUDGET`."""
    others = [Key(bytes([number]) * 16, b"full") for number in range(3)]
    held = [renewed.leases.acquire(key) for key in others]
    for key in others:
        name = NAME.replace(KEY.digest.hex(), key.digest.hex())
        own_redis_server.command("PEXPIRE", name, 5000)
    monkeypatch.setattr("cachemw.stores.redis.leases._BUDGET", -1.0)

    def lasting() -> int:
        names = [NAME.replace(KEY.digest.hex(), key.digest.hex()) for key in others]
        left: list[Any] = [own_redis_server.command("PTTL", name) for name in names]
        return sum(each > 5000 for each in left)

    renewed.clock.advance(11)
    rounds = []
    for _ in range(4):
        renewed.leases.renew()
        rounds.append(lasting())
    assert rounds == [0, 1, 2, 3]
    assert len(held) == 3


def test_a_lease_that_could_not_be_settled_is_settled_when_redis_is_back(
    own_redis_server: RedisServer,
) -> None:
    # Guard: `_deferred_on_failure`. A replica that takes over has the lease, and whoever asks for the
    # key would wait until it ends for an answer that nobody is making.
    with ChaosProxy(own_redis_server.url) as proxy:
        cut_off, other = leases_over(proxy.url), leases_over(own_redis_server.url)
        lease = taken(cut_off)
        proxy.refuse()
        with pytest.raises(StoreUnavailable):
            cut_off.settle(lease, uncacheable=False)
        proxy.normal()
        assert other.acquire(KEY) is Claim.HELD
        cut_off.settle_deferred()
        assert isinstance(other.acquire(KEY), Lease)


def test_a_lease_whose_reply_did_not_come_is_settled_too(own_redis_server: RedisServer) -> None:
    with ChaosProxy(own_redis_server.url) as proxy:
        cut_off = leases_over(proxy.url, deadline="1s")
        proxy.slow("1h")
        with pytest.raises(StoreUnavailable):
            cut_off.acquire(KEY)
        proxy.normal()
        until(lambda: own_redis_server.command("EXISTS", NAME) == 1)
        cut_off.settle_deferred()
        assert own_redis_server.command("EXISTS", NAME) == 0


def test_a_lease_whose_request_was_cancelled_meanwhile_is_settled_too(
    own_redis_server: RedisServer,
) -> None:
    # Guard: `_deferred_on_failure` takes a cancellation for a failure. Redis has the lease, nobody
    # knows of it, and everybody else would wait until it ends.
    with ChaosProxy(own_redis_server.url) as proxy:
        cut_off = leases_over(proxy.url, deadline="1m")

        async def cancel() -> None:
            proxy.slow("1h")
            asking = asyncio.ensure_future(cut_off.aacquire(KEY))
            while not own_redis_server.command("EXISTS", NAME):
                await asyncio.sleep(0.002)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

        asyncio.run(cancel())
        proxy.normal()
        cut_off.settle_deferred()
        assert own_redis_server.command("EXISTS", NAME) == 0


def leases_over(url: str, deadline: str = "2s") -> Leases:
    commands = Commands(Nodes(RedisConfig(url=url, deadline=deadline)), lambda event, reason: None)
    return Leases(commands, "leases", lifetime=60.0, remembered=1.0, monotonic=time.monotonic)
