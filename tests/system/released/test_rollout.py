"""The shop is rolled out in compressed time, and bad releases are taken back by the right guardrail.

Real workers, a real Redis that is killed in between, real commands. `tox -e released` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachemw.cli.demo.processes import Shop
from cachemw.testing import ChaosProxy, RedisServer

from .kit import Clients, Fleet, serve, until

HOLDOUT = "50%"
"""Enough of the few requests there are for evidence in seconds."""
COMMON = {"interval": "1s", "watch": ["errors", "latency", "misses", "hits", "memory"]}
PHASES = [
    {"name": "low", "risks": ["low"], "duration": "30s", "steps": ["shadow", "on"]},
    {
        "name": "medium",
        "risks": ["medium"],
        "duration": "45s",
        "steps": ["shadow", "canary 50%", "on"],
    },
    {"name": "all", "risks": ["high"], "duration": "30s", "steps": ["shadow", "on"]},
]
EVERYTHING = {
    "name": "all",
    "risks": ["low", "medium", "high"],
    "duration": "4m",
    "steps": ["canary 99%", "on"],
}
LEASE = "cachemw:{released}:rollout:lease"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(redis: RedisServer) -> Iterator[ChaosProxy]:
    with ChaosProxy(redis.url) as between:
        yield between


@pytest.fixture(scope="module")
def fleet(
    shop: Shop,
    database: Path,
    redis: RedisServer,
    proxy: ChaosProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("released")
    with serve(shop, database, folder, proxy.url, redis.url) as running:
        yield running


@pytest.fixture(scope="module")
def clients(fleet: Fleet) -> Iterator[Clients]:
    with Clients(fleet.port) as asking:
        yield asking


def plan(fleet: Fleet, *phases: dict[str, Any]) -> str:
    made = [{**COMMON, **phase} for phase in phases]
    return str(fleet.plan(holdout=HOLDOUT, warm_up="3s", hold="2m", phases=made))


@pytest.mark.timeout(400)
def test_it_goes_through_shadow_and_three_phases_and_survives_what_happens(
    fleet: Fleet, clients: Clients, redis: RedisServer
) -> None:
    fleet.rollout("start", "--plan", plan(fleet, *PHASES), "--by", "a test")
    fleet.until(lambda state: (state["phase"], state["flag"]) == (0, "on"), 90)

    # The controller is killed: another one takes over.
    first = redis.command("GET", LEASE).decode()
    fleet.kill(first)
    took = until(lambda: redis.command("GET", LEASE) not in (None, first.encode()), 20)
    print(f"another controller after {took:.1f} s")
    assert took <= 10

    # Redis dies in the middle of a phase, and comes back empty: nothing advances meanwhile.
    before = fleet.until(lambda state: state["phase"] == 1 and state["watched"] > 2, 90)
    redis.kill()
    assert "cannot be reached" in fleet.rollout("status", check=False)
    until(lambda: clients.statuses[200] > 0, 5)
    redis.start()
    after = fleet.until(lambda state: state is not None, 20)
    assert (after["phase"], after["step"]) == (before["phase"], before["step"])
    assert after["watched"] <= before["watched"] + 8

    done = fleet.until(lambda state: state["status"] != "running", 200)
    assert done["status"] == "complete", fleet.history
    assert clients.broken == []
    assert set(clients.statuses) == {200}


def _passes(state: dict[str, Any]) -> bool:
    judged = state["judged"].get("phase", [])
    return bool(judged) and all(each["verdict"] == "pass" for each in judged)


BAD = {
    "errors": ("cached errors", {"errors"}),
    # More than one request in twenty misses, so the slowest of all are misses too: either is right.
    "misses": ("slow misses", {"misses", "latency"}),
    "memory": ("fat", {"memory"}),
    "hits": ("useless keys", {"hits"}),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("guardrail", BAD)
def test_a_bad_release_is_taken_back_by_its_guardrail_with_the_others_quiet(
    guardrail: str, fleet: Fleet, clients: Clients, proxy: ChaosProxy
) -> None:
    fleet.rollout("start", "--plan", plan(fleet, EVERYTHING))
    assert fleet.until(_passes, 60)["status"] == "running"
    release, right = BAD[guardrail]
    if release == "slow misses":
        proxy.slow("40ms")
    elif release == "useless keys":
        clients.stamped = True
    else:
        fleet.release(release)
    try:
        back = fleet.until(lambda state: state["status"] == "rolled back", 90)
        failing = {j["guardrail"] for j in back["judged"]["phase"] if j["verdict"] == "fail"}
        assert failing, back["reason"]
        assert failing <= right
    finally:
        proxy.normal()
        clients.stamped = False
        fleet.release("good")
    fleet.until(lambda state: not state["check_due"], 60)
    last = fleet.history[-1]
    print(f"{guardrail}: {last['reason']}; {last['numbers']}")
    assert last["action"] == "health check"
    if guardrail in ("memory", "hits"):
        assert last["reason"] == "all is well"
