"""Strict routes: while the log is not heard, nothing from before goes out, by whatever way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cachemw.engine.flows.on_request import on_request
from cachemw.engine.flows.on_response import Relayed, on_error
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Forward, Serve
from tests.support.engine import (
    GRACE,
    Field,
    Kit,
    follow,
    forwarded,
    get,
    lookup,
    served,
    step,
    target,
)

COOKIE, RANGE = (b"cookie", b"sid=1"), (b"range", b"bytes=0-1")


class Silent:
    """A log that was heard until some moment; a bounded route may still be served."""

    live = True

    def __init__(self, until: float) -> None:
        self.trust = (until,)

    def serves(self, born: float, now: float) -> bool:
        return True


def kit_of(consistency: str, **route: object) -> Kit:
    return Kit({**GRACE, "consistency": consistency, **route})


def silence(kit: Kit) -> None:
    kit.engine.log = Silent(kit.now)


def ask(kit: Kit, *fields: Field, **how: str) -> Serve | Forward:
    decision = step(kit.flow(get("/products/1", *fields, **how)))  # type: ignore[arg-type]
    assert isinstance(decision, (Serve, Forward)), decision
    return decision


@pytest.mark.parametrize("age", [1, 65, 80], ids=["fresh", "stale", "stand-in"])
@pytest.mark.parametrize("fields", [(), (COOKIE,), (RANGE,)], ids=["plain", "cookie", "range"])
def test_a_strict_route_goes_to_the_application_at_once(age: float, fields: list[Field]) -> None:
    # Guard: `is_cut_off` in `on_request`.
    kit = kit_of("strict")
    kit.fill(get())
    kit.clock.advance(age)
    silence(kit)
    decision = forwarded(ask(kit, *fields))
    assert (decision.outcome, decision.reason) == (Outcome.ERROR_BYPASS, "cut-off")
    assert decision.fetch is not None
    assert (decision.fetch.fallback, decision.fetch.flight) == (None, None)


@pytest.mark.parametrize("consistency", ["bounded", "strict"])
def test_a_request_that_is_held_out_knows_that_the_others_go_to_the_application(
    consistency: str,
) -> None:
    # Guard: `trusts` in `candidate`.
    kit = kit_of(consistency)
    kit.fill(get())
    silence(kit)
    request = get()
    flow = on_request(kit.engine, request, target(request), None, kit.now, held_out=True)
    strict = consistency == "strict"
    expected = Outcome.CONTROL_MISS if strict else Outcome.CONTROL_HIT
    assert forwarded(step(flow)).outcome is expected


def test_the_fast_path_serves_bounded_routes_alone() -> None:
    # Guard: `route.strict` in `hit_in_memory`.
    for consistency in ("bounded", "strict"):
        kit = kit_of(consistency)
        entry = kit.fill(get())
        assert kit.hit(get()) is entry
        silence(kit)
        assert kit.hit(get()) is (entry if consistency == "bounded" else None)


def test_nobody_waits_for_a_call_that_began_before() -> None:
    kit = kit_of("strict")
    leader = kit.miss(get())
    silence(kit)
    assert forwarded(ask(kit)).reason == "cut-off"
    assert leader.fetch is not None
    leader.fetch.abandon()


@pytest.mark.parametrize("consistency", ["bounded", "strict"])
def test_who_waits_as_the_log_is_lost_is_given_no_answer_from_before(consistency: str) -> None:
    # Guards: `trusts` in `candidate`, and `is_cut_off` in `_coalesce`.
    kit = kit_of(consistency)
    leader = kit.miss(get())
    follower = follow(kit, get())
    silence(kit)
    entry = kit.keep(leader, b"from before")
    decision = follower.wake(kit.now)
    if consistency == "bounded":
        assert served(decision).entry is entry
    else:
        assert forwarded(decision).reason == "cut-off"


FAILURES: dict[str, Callable[[Kit, Forward], object]] = {
    "503": lambda kit, forward: kit.head(forward, 503),
    "exception": lambda kit, forward: on_error(kit.engine, forward, kit.now),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("consistency", ["bounded", "strict"])
def test_nothing_stands_in_where_the_log_was_lost_during_the_call(
    consistency: str, failure: str
) -> None:
    # Guard: `trusts` in `_fallback_entry`.
    kit = kit_of(consistency)
    kit.fill(get())
    kit.clock.advance(80)
    forward = kit.miss(get())
    silence(kit)
    assert isinstance(FAILURES[failure](kit, forward), Serve) is (consistency == "bounded")


def test_what_another_process_stored_is_not_served_either() -> None:
    kit = kit_of("strict")
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    silence(kit)
    assert isinstance(step(flow, (kit.entry(key), kit.now)), Forward)


def test_what_the_application_says_meanwhile_is_served_when_the_log_is_back() -> None:
    kit = kit_of("strict")
    log = kit.engine.log
    silence(kit)
    entry = kit.keep(forwarded(ask(kit, (b"if-none-match", b"*"))), b"meanwhile")
    assert kit.hit(get()) is None
    kit.engine.log = log
    assert kit.hit(get()) is entry


def test_the_head_of_a_page_is_asked_for_too() -> None:
    kit = kit_of("strict")
    kit.fill(get())
    silence(kit)
    decision = forwarded(ask(kit, method="HEAD"))
    assert decision.reason == "cut-off"
    assert isinstance(kit.head(decision, 200), Relayed)


def test_who_wants_a_stored_answer_or_none_gets_none() -> None:
    kit = kit_of("strict", client_directives="honour")
    kit.fill(get())
    silence(kit)
    decision = served(ask(kit, (b"cache-control", b"only-if-cached")))
    assert decision.outcome is Outcome.UNSATISFIED


def test_explain_says_so() -> None:
    kit = kit_of("strict")
    kit.fill(get())
    silence(kit)
    told = kit.cache.explain("GET", "http://shop.example/products/1")
    assert (told.outcome, told.reason) == ("pass", "cut-off")
    assert "log cannot be read" in told.sentence


def test_without_redis_a_strict_route_is_served() -> None:
    kit = kit_of("strict")
    entry = kit.fill(get())
    assert kit.hit(get()) is entry
