"""The controller looks every interval and moves the rollout by what a fleet has counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cachemw.config import config_from
from cachemw.engine.core.setup import make_routes
from cachemw.errors import StoreUnavailable
from cachemw.rollout.controller import Controller
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.rollout.state import Record, State, plan_of
from cachemw.rollout.store import LocalStore
from cachemw.rollout.transitions import begin, pause, resume, roll_back
from cachemw.telemetry.events import BOUNDS
from cachemw.testing import FakeClock

from .fleet import HELD_OUT, Fleet, Traffic
from .plans import AT, BY, plan, written

ROUTES = {"pages": "low", "products": "medium", "orders": "high"}
STEPS = {
    "duration": 75,  # 25 s in shadow, 25 s as a canary, 75 s on
    "interval": 1,
    "steps": ["shadow", "canary 10%", "on"],
    "watch": ["errors", "latency", "misses", "hits", "memory"],
}


def plan_written(**changed: Any) -> dict[str, Any]:
    phases = [
        {"name": "one", "risks": ["low"], **STEPS, **changed},
        {"name": "two", "risks": ["medium"], **STEPS},
    ]
    return written(holdout=HELD_OUT, warm_up=5, hold=20, phases=phases)


class Site:
    """A rollout over a fleet, with its clock."""

    def __init__(self) -> None:
        config = config_from(
            {
                "routes": [
                    {"name": name, "path": f"/{name}", "ttl": "60s", "risk": risk}
                    for name, risk in ROUTES.items()
                ]
            }
        )
        self.clock = FakeClock()
        self.flags = Flags(
            make_routes(config, {}, {}),
            ConfiguredFlags(classes=config.flags),
            exchange=None,
        )
        self.purged: list[tuple[str, ...]] = []
        self.store = LocalStore(self.flags, lambda risks: self.purged.append(tuple(risks)))
        self.fleet = Fleet(tuple(ROUTES))
        self.told: list[Record] = []
        self.unreachable = False
        self.controller = self.make("first")

    def make(self, name: str) -> Controller:
        return Controller(
            self.store,
            risks=ROUTES,
            bounds=BOUNDS,
            fleet=self._processes,
            clock=self.clock,
            name=lambda: name,
            report=self.told.append,
        )

    def _processes(self) -> Any:
        if self.unreachable:
            raise StoreUnavailable("away")
        return self.fleet.processes()

    def start(self, **changed: Any) -> Site:
        document = plan_written(**changed)
        begun = plan(**document)
        self.store.commit(lambda before: begin(begun, document, before, AT, BY, ""))
        return self

    @property
    def state(self) -> State:
        found = self.store.read()
        assert found is not None
        return found

    def seconds(self, count: int, requests: int = 300) -> Site:
        """Let time go by, a second at a time, with requests for the route of the present phase."""
        for _ in range(count):
            states = self.flags.states()
            self.fleet.state = _state(states["low"])
            self.fleet.answer(requests)
            if self.state.phase:
                self.fleet.state = _state(states["medium"])
                self.fleet.answer(requests, route=1)
            self.clock.advance(1)
            self.controller.turn()
        return self

    def until(self, condition: Callable[[State], object], limit: int = 300) -> Site:
        for _ in range(limit):
            if condition(self.state):
                return self
            self.seconds(1)
        raise AssertionError(f"not within {limit} s: {self.state}")

    @property
    def actions(self) -> list[str]:
        return [record.action for record in self.told]


def _state(flag: str) -> str:
    return "on" if flag.startswith("canary") else flag


def test_a_healthy_rollout_goes_through_its_phases_to_the_end() -> None:
    site = Site().start()
    assert site.flags.states()["low"] == "shadow"
    site.until(lambda state: state.status == "complete")
    assert site.actions == ["step", "step", "phase", "step", "step", "complete"]
    states = site.flags.states()
    assert (states["low"], states["medium"], states["high"]) == ("on", "on", "on")
    assert states["holdout"] == "off"
    assert site.controller.turn() is None
    assert site.purged == []


def test_what_the_cache_has_been_worth_is_in_the_record() -> None:
    site = Site().start()
    site.until(lambda state: state.status == "complete")
    last = site.told[-1]
    found = last.numbers["evaluation"]
    assert found["hit_rate"] == pytest.approx(0.8, abs=0.02)
    assert found["origin_calls_saved"] == pytest.approx(0.8, abs=0.02)
    assert found["faster"] == pytest.approx(0.8, abs=0.05)
    assert (found["failed"], found["failed_control"]) == (0.0, 0.0)
    assert "hit rate 80." in last.reason or "hit rate 79." in last.reason
    assert "below its target" not in last.reason


HARM: dict[str, Traffic] = {
    "errors": Traffic(errors=0.05),
    "misses": Traffic(slower=2.5),
    "hits": Traffic(hits=0.2),
    "memory": Traffic(memory=1.3),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_rolled_back_by_its_guardrail(name: str) -> None:
    site = Site().start()
    site.until(lambda state: state.step == 2)
    site.fleet.traffic = HARM[name]
    site.until(lambda state: state.status == "rolled back", 60)
    (record,) = [each for each in site.told if each.action == "roll back"]
    assert record.reason == f"guardrail {name} failed"
    assert record.numbers["guardrail"] == name
    assert site.flags.states()["low"] == "off"
    assert site.purged == [("low",)]


def test_a_health_check_follows_a_rollback_by_itself() -> None:
    site = Site().start()
    site.fleet.traffic = Traffic(errors=0.1)
    site.until(lambda state: not state.active)
    site.until(lambda state: not state.check_due, 30)
    last = site.told[-1]
    assert (last.action, last.reason) == ("health check", "all is well")
    assert last.numbers["errors"]["well"] is True
    assert site.controller.turn() is None


def health_check(site: Site, requests: int) -> tuple[Record, int]:
    """Give the record of the health check after a rollback, and the seconds until it was there."""
    site.until(lambda state: state.step == 2)
    plan_ = plan_of(site.state)
    site.store.commit(lambda state: roll_back(state, plan_, AT, BY, ""))  # type: ignore[arg-type]
    for seconds in range(1, 100):
        site.seconds(1, requests=requests)
        if not site.state.check_due:
            return site.told[-1], seconds
    raise AssertionError("no health check")


@pytest.mark.parametrize(
    ("requests", "reason", "least", "most"),
    [
        (100, "all is well", 6, 12),
        (20, "all is well", 12, 24),
        (1, "inconclusive: errors:", 30, 45),
    ],
)
def test_a_health_check_waits_for_answers_to_judge_by(
    requests: int, reason: str, least: int, most: int
) -> None:
    record, seconds = health_check(Site().start(), requests)
    assert record.reason.startswith(reason)
    assert least <= seconds <= most


@pytest.mark.parametrize(
    ("ill", "says"),
    [
        ({"revision": 0.0}, "flags: 0 of 2 processes have them"),
        ({"state": "on"}, "answers still through the cache"),
    ],
)
def test_a_health_check_says_what_is_ill(ill: dict[str, Any], says: str) -> None:
    site = Site().start()
    site.fleet.traffic = Traffic(errors=0.1)
    site.until(lambda state: not state.active)
    for _ in range(12):
        for name, value in ill.items():
            setattr(site.fleet, name, value)
        site.fleet.answer(20)
        site.clock.advance(1)
        site.controller.turn()
    (record,) = [each for each in site.told if each.action == "health check"]
    assert record.reason.startswith("problems: ")
    assert says in record.reason


def test_without_requests_nothing_advances_and_then_it_pauses() -> None:
    site = Site().start()
    site.until(lambda state: state.step == 1)
    for _ in range(60):
        site.clock.advance(1)
        site.controller.turn()
    assert (site.state.status, site.state.step) == ("paused", 1)
    assert "not enough evidence" in site.state.reason


def test_while_the_fleet_cannot_be_seen_nothing_comes_nearer() -> None:
    site = Site().start().seconds(10)
    watched = site.state.watched
    site.unreachable = True
    for _ in range(600):
        site.clock.advance(1)
        with pytest.raises(StoreUnavailable):
            site.controller.turn()
    assert site.state.watched == watched
    site.unreachable = False
    site.seconds(2)
    assert watched < site.state.watched <= watched + 3 + 1  # one look counts for two intervals


def test_another_controller_goes_on_with_the_evidence_of_the_first() -> None:
    site = Site().start()
    site.until(lambda state: state.step == 2).seconds(3)
    seen = {each.guardrail: each.evidence for each in site.state.judged["phase"]}
    site.controller = site.make("second")
    site.seconds(2)
    after = {each.guardrail: each.evidence for each in site.state.judged["phase"]}
    assert after["errors"]["evidence"] == pytest.approx(seen["errors"]["evidence"], abs=0.5)
    assert after["hits"]["rate"] == pytest.approx(seen["hits"]["rate"], abs=0.05)
    assert all(each.verdict == "pass" for each in site.state.judged["phase"])


def test_a_phase_that_is_begun_again_does_not_inherit_evidence() -> None:
    site = Site().start()
    site.until(lambda state: state.step == 2)
    site.fleet.traffic = Traffic(errors=0.1)
    site.until(lambda state: not state.needs_controller, 60)
    site.fleet.traffic = Traffic()
    plan_ = plan_of(site.state)
    site.store.commit(lambda state: resume(state, plan_, AT, BY, ""))  # type: ignore[arg-type]
    site.until(lambda state: state.status == "complete")


def test_what_an_operator_does_between_two_looks_counts() -> None:
    site = Site().start().seconds(3)
    plan_ = plan_of(site.state)
    site.store.commit(lambda state: pause(state, plan_, AT, BY, "lunch"))  # type: ignore[arg-type]
    watched = site.state.watched
    site.seconds(20)
    assert (site.state.status, site.state.watched, site.state.reason) == (
        "paused",
        watched,
        "lunch",
    )
    site.store.commit(lambda state: roll_back(state, plan_, AT, BY, ""))  # type: ignore[arg-type]
    site.until(lambda state: not state.needs_controller, 20)
    assert site.actions[-1] == "health check"


@pytest.mark.parametrize("by_hand", ["off", "shadow", "on", "default"])
def test_what_somebody_set_by_hand_pauses_the_rollout_and_no_step_undoes_it(by_hand: str) -> None:
    # Guard: `Move.expected`, which the store compares with the live flags.
    site = Site().start()
    site.until(lambda state: state.step == 1)
    assert site.flags.set(low=by_hand)
    site.seconds(200)
    assert site.state.status == "paused"
    assert "somebody changed the flags: low is " in site.state.reason
    assert site.actions[-1] == "pause"
    assert site.flags.live.classes.get("low", "default") == by_hand
    plan_ = plan_of(site.state)
    site.store.commit(lambda state: resume(state, plan_, AT, BY, ""))  # type: ignore[arg-type]
    assert site.flags.live.classes["low"] == "canary 10%"
    site.until(lambda state: state.status == "complete")


def test_harm_is_rolled_back_whatever_somebody_set_by_hand() -> None:
    site = Site().start()
    site.until(lambda state: state.step == 2)
    assert site.flags.set(low="canary 50%")
    site.seconds(2)
    assert site.state.status == "paused"
    site.fleet.traffic = Traffic(errors=0.2)
    site.until(lambda state: state.status == "rolled back", 60)
    assert site.flags.states()["low"] == "off"


def test_flags_of_routes_the_holdout_and_other_classes_are_set_by_hand_as_before() -> None:
    site = Site().start().seconds(2)
    assert site.flags.set({"holdout": "10%", "high": "off", "level:low": "info"})
    site.until(lambda state: state.step == 2)
    assert site.state.status == "running"


def test_a_missing_component_stops_the_clock() -> None:
    site = Site().start(components=["api"]).seconds(3)
    site.fleet.missing = True
    site.seconds(1)
    watched = site.state.watched
    site.seconds(50)
    assert (site.state.watched, site.state.reason) == (watched, "no live process of 'api'")


def test_a_route_that_is_wrong_in_shadow_takes_its_phase_back_when_it_is_all_there_is() -> None:
    site = Site().start()
    site.fleet.traffic = Traffic(mismatches=0.1)
    site.until(lambda state: not state.active, 60)
    record = site.told[-1]
    assert "'pages' ($.total)" in record.reason
    numbers = record.numbers["pages"]
    assert numbers["places"] == {"$.total": numbers["mismatches"]}
    assert numbers["mismatches"] > 0
    assert site.flags.states()["low"] == "off"


def warned(site: Site) -> list[Record]:
    return [record for record in site.told if record.action == "warn"]


def test_a_route_that_sets_cookies_is_warned_about_by_name_once() -> None:
    """By what two processes have counted since the phase began, and not before."""
    site = Site()
    site.fleet.state, site.fleet.traffic = "shadow", Traffic(cookies=0.5)
    site.fleet.answer(1000)
    site.start()
    site.fleet.traffic = Traffic()
    site.seconds(5)
    site.fleet.traffic = Traffic(cookies=0.1)
    site.until(lambda state: state.step == 1)
    (record,) = warned(site)
    assert (record.phase, record.step) == ("one", "shadow")
    assert "route 'pages' sets cookies" in record.reason
    assert record.numbers["answers"] == 300 * 5  # of the looks but the first
    assert record.numbers["set-cookie"] == pytest.approx(0.1 * 300, abs=15)


def test_another_controller_has_what_the_first_one_saw_of_a_route() -> None:
    """Fails where the reasons and places are not in the looks that are kept."""
    site = Site().start()
    site.fleet.traffic = Traffic(mismatches=0.1, cookies=0.1)
    site.seconds(20)
    site.controller = site.make("second")
    site.fleet.traffic = Traffic()
    site.until(lambda state: not state.active, 60)
    assert len(warned(site)) == 1
    assert "'pages' ($.total)" in site.told[-1].reason


def test_cookies_of_a_later_step_are_no_matter_of_shadow() -> None:
    """Fails where what was refused is taken from the counts of every step."""
    site = Site().start()
    site.until(lambda state: state.step == 1)
    site.fleet.traffic = Traffic(cookies=0.1)
    site.until(lambda state: state.step == 2, 60)
    assert warned(site) == []


def test_a_route_that_would_have_answered_nobody_is_told_the_reasons() -> None:
    site = Site().start()
    site.fleet.traffic = Traffic(cookies=1.0)
    site.seconds(10)
    cookies, useless = warned(site)
    assert "sets cookies: 300 of 300 answers" in cookies.reason
    assert "would have answered none of 600 requests" in useless.reason
    assert "set-cookie 600" in useless.reason
