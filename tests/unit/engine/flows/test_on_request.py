"""`on_request`, fed by hand: which effects it asks for, and what it decides."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.config.syntax.flag import OFF
from cachemw.engine.core.effects import Lookup
from cachemw.engine.flows.on_request import on_request
from cachemw.engine.flows.on_response import Relayed
from cachemw.engine.model.entry import Position
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Serve
from cachemw.http.messages import Request
from cachemw.invalidation.purges import Purge
from tests.support.engine import (
    ROUTE,
    Kit,
    follow,
    forwarded,
    get,
    lookup,
    marker_of,
    served,
    step,
    target,
)

COOKIE, TOKEN = (b"cookie", b"sid=1"), (b"authorization", b"Bearer x")
PUBLIC = (b"cache-control", b"public")


# Rule 1: past the cache ---------------------------------------------------------------------------

PASSES = [
    pytest.param(get("/elsewhere"), "no-route", id="no route lists it"),
    pytest.param(get(method="POST"), "method", id="a method that the route does not cache"),
    pytest.param(get(method="get"), "method", id="a method in lower case"),
    pytest.param(get(host=b"a b"), "host", id="a malformed Host"),
    pytest.param(get("/products/1", (b"host", b"other")), "host", id="two Hosts"),
    pytest.param(get("/products/1", (b"if-match", b'"a"')), "precondition", id="a precondition"),
    pytest.param(get("/products/1", (b"content-length", b"3")), "body", id="a body on GET"),
    pytest.param(get("/products/1", (b"x_forwarded_host", b"e")), "spelling", id="a spelling"),
    pytest.param(get("/products/a%2Fb"), "no-route", id="an encoded slash is two segments"),
]


@pytest.mark.parametrize(("request_", "reason"), PASSES)
def test_it_passes_untouched_and_unkept(kit: Kit, request_: Request, reason: str) -> None:
    decision = forwarded(step(kit.flow(request_)))
    assert (decision.outcome, decision.reason) == (Outcome.PASS, reason)
    assert decision.fetch is None
    assert decision.rewrite is None
    assert kit.open_flights == 0


def test_a_route_that_is_off_lets_everything_past_even_what_is_stored(kit: Kit) -> None:
    """I6: a switched-off route serves nothing, on the fast path either."""
    kit.fill(get())
    kit.engine.routes[0].share = OFF
    decision = forwarded(step(kit.flow(get())))
    assert (decision.outcome, decision.reason, decision.fetch) == (Outcome.OFF, "off", None)
    assert kit.hit(get()) is None


def held_out(kit: Kit, *fields: tuple[bytes, bytes], method: str = "GET") -> Outcome:
    """Hold a request out; it asks for nothing and changes nothing of what the others do."""
    request = get("/products/1", *fields, method=method)
    flow = on_request(
        kit.engine, request, target(request), kit.extra(request), kit.now, held_out=True
    )
    decision = forwarded(step(flow))
    assert (decision.reason, decision.fetch, decision.rewrite) == ("holdout", None, None)
    assert kit.open_flights == 0
    return decision.outcome


@pytest.mark.parametrize(
    ("age", "outcome"),
    [
        pytest.param(59, Outcome.CONTROL_HIT, id="fresh"),
        pytest.param(65, Outcome.CONTROL_HIT, id="5861 3 stale while it is revalidated"),
        pytest.param(80, Outcome.CONTROL_MISS, id="5861 4 it only stands in for errors"),
        pytest.param(161, Outcome.CONTROL_MISS, id="past its last use"),
    ],
)
def test_a_request_that_is_held_out_says_whether_memory_would_have_answered(
    grace: Kit, age: float, outcome: Outcome
) -> None:
    """The others' refresh is still theirs to lead: fails where a held-out request takes it."""
    assert held_out(grace) is Outcome.CONTROL_MISS
    grace.fill(get())
    grace.clock.advance(age)
    assert held_out(grace) is outcome
    if age == 65:
        assert served(step(grace.flow(get()))).refresh is not None


def test_a_request_that_is_held_out_is_looked_for_as_any_other(kit: Kit) -> None:
    kit.fill(get(), b"body", (b"vary", b"accept-language"))
    assert held_out(kit) is Outcome.CONTROL_HIT
    assert held_out(kit, (b"accept-language", b"fr")) is Outcome.CONTROL_MISS
    assert held_out(kit, method="HEAD") is Outcome.CONTROL_HIT
    assert held_out(kit, TOKEN) is Outcome.CONTROL_MISS, "what is stored is not for a known client"
    kit.cache.purge(tags=["product:1"])
    assert held_out(kit) is Outcome.CONTROL_MISS


# Rule 2: in memory --------------------------------------------------------------------------------


def test_a_fresh_entry_is_served_without_an_effect(kit: Kit) -> None:
    entry = kit.fill(get())
    decision = served(step(kit.flow(get())))
    assert (decision.entry, decision.outcome) == (entry, Outcome.HIT_MEMORY)
    assert decision.refresh is None
    assert entry.visited
    assert kit.hit(get()) is entry


def test_an_entry_is_not_fresh_at_the_end_of_its_lifetime(kit: Kit) -> None:
    kit.fill(get())
    kit.clock.advance(59.99)
    assert served(step(kit.flow(get()))).outcome is Outcome.HIT_MEMORY
    kit.clock.advance(0.01)
    assert kit.hit(get()) is None
    assert forwarded(kit.miss(get())).outcome is Outcome.MISS


def test_a_stale_entry_is_served_and_one_request_refreshes_it(grace: Kit) -> None:
    """RFC 5861 §3."""
    entry = grace.fill(get())
    grace.clock.advance(65)
    assert grace.hit(get()) is None
    first, second = (served(step(grace.flow(get()))) for _ in range(2))
    assert first.outcome is second.outcome is Outcome.STALE_MEMORY
    assert first.entry is second.entry is entry
    assert second.refresh is None
    assert first.refresh is not None
    assert first.refresh.refresh
    assert first.refresh.position == grace.engine.floors.current_position()
    assert grace.open_flights == 1
    first.refresh.abandon()
    assert grace.open_flights == 0
    assert served(step(grace.flow(get()))).refresh is not None


def test_a_head_request_is_served_stale_but_refreshes_nothing(grace: Kit) -> None:
    grace.fill(get())
    grace.clock.advance(65)
    decision = served(step(grace.flow(get(method="HEAD"))))
    assert (decision.outcome, decision.refresh) == (Outcome.STALE_MEMORY, None)
    assert grace.open_flights == 0


def test_a_softly_purged_entry_is_served_inside_its_window_and_refreshed(grace: Kit) -> None:
    entry = grace.fill(get())
    grace.cache.purge(tags=["product:1"], soft=True)
    assert grace.hit(get()) is None
    decision = served(step(grace.flow(get())))
    assert (decision.entry, decision.outcome) == (entry, Outcome.STALE_MEMORY)
    assert decision.refresh is not None


def test_a_softly_purged_entry_without_a_window_is_a_miss(kit: Kit) -> None:
    kit.fill(get())
    kit.cache.purge(tags=["product:1"], soft=True)
    assert kit.miss(get()).outcome is Outcome.MISS


def test_a_purged_entry_is_a_miss(kit: Kit) -> None:
    """I5."""
    kit.fill(get())
    kit.cache.purge(tags=["product:1"])
    assert kit.hit(get()) is None
    assert kit.miss(get()).outcome is Outcome.MISS


def test_a_purged_entry_stands_in_for_nothing(grace: Kit) -> None:
    grace.fill(get())
    grace.cache.purge(tags=["product:1"])
    forward = grace.miss(get())
    assert forward.fetch is not None
    assert forward.fetch.fallback is None


def test_past_its_window_an_entry_only_stands_in_for_errors(grace: Kit) -> None:
    """RFC 5861 §4."""
    entry = grace.fill(get())
    grace.clock.advance(80)
    forward = grace.miss(get())
    assert forward.fetch is not None
    assert forward.fetch.fallback is entry


def test_with_the_log_out_of_reach_memory_serves_only_what_may_be(kit: Kit) -> None:
    """I5: the guard is the trust check in `hit_in_memory` and in `_candidate`."""
    entry = kit.fill(get())
    kit.cache.log.trust[0] = kit.now
    kit.engine.log = Distrusted(kit.now, serves=False)
    assert kit.hit(get()) is None
    assert kit.miss(get()).outcome is Outcome.MISS
    kit.engine.log = Distrusted(kit.now, serves=True)
    assert kit.hit(get()) is entry
    assert served(step(kit.flow(get()))).entry is entry


class Distrusted:
    """A log that is not heard from, whose route may or may not be served without it."""

    live = False

    def __init__(self, until: float, *, serves: bool) -> None:
        self.trust = (until,)
        self._serves = serves

    def serves(self, born: float, now: float) -> bool:
        return self._serves


# Rule 3: known clients, HEAD, uncacheable ---------------------------------------------------------


@pytest.mark.parametrize("field", [COOKIE, TOKEN], ids=["cookie", "authorization"])
def test_a_known_client_neither_leads_nor_follows(kit: Kit, field: tuple[bytes, bytes]) -> None:
    """I1: nobody is ever handed, or waits for, what was made for a known client."""
    request = get("/products/1", field)
    flow = kit.flow(request)
    lookup(step(flow))
    assert kit.open_flights == 0
    decision = forwarded(step(flow, (None, kit.now)))
    assert (decision.outcome, decision.outcome.outcome) == (Outcome.PERSONAL, "pass")
    assert decision.reason == field[0].decode()
    assert decision.fetch is not None
    assert decision.fetch.flight is None


@pytest.mark.parametrize(("stored_fields", "given"), [((), False), ((PUBLIC,), True)])
@pytest.mark.parametrize("field", [COOKIE, TOKEN], ids=["cookie", "authorization"])
@pytest.mark.parametrize("tier", ["memory", "shared"])
def test_a_known_client_is_given_only_what_is_for_all(
    kit: Kit, tier: str, field: Any, stored_fields: Any, given: bool
) -> None:
    """I1: the guard is `_is_for`."""
    request = get("/products/1", field)
    if tier == "memory":
        kit.fill(get(), b"body", *stored_fields)
        flow = kit.flow(request)
        decision = step(flow)
        if isinstance(decision, Lookup):
            decision = step(flow, (None, kit.now))
    else:
        flow = kit.flow(request)
        key = lookup(step(flow)).key
        decision = step(flow, (kit.entry(key, headers=stored_fields), kit.now))
    assert isinstance(decision, Serve) is given
    assert kit.hit(request) is None, "the fast path does not look at what the answer says"


def test_head_is_answered_from_a_stored_get_and_keeps_nothing_itself(kit: Kit) -> None:
    decision = kit.miss(get(method="HEAD"))
    assert (decision.outcome, decision.reason) == (Outcome.MISS, "method")
    decided = kit.head(decision, 200)
    assert isinstance(decided, Relayed)
    assert (decided.collector, decided.pending_save) == (None, None)
    assert kit.open_flights == 0
    entry = kit.fill(get())
    assert served(step(kit.flow(get(method="HEAD")))).entry is entry


def test_nobody_queues_for_what_could_not_be_kept(kit: Kit) -> None:
    forward = kit.miss(get())
    kit.head(forward, 200, (b"cache-control", b"no-store"))
    decision = forwarded(step(kit.flow(get())))
    assert (decision.outcome, decision.reason) == (Outcome.HIT_FOR_MISS, "hit-for-miss")
    assert decision.fetch is not None
    assert decision.fetch.flight is None
    kit.keep(decision, b"now it can")
    assert kit.hit(get()) is not None


def test_that_an_answer_could_not_be_kept_is_forgotten_in_time(kit: Kit) -> None:
    kit.head(kit.miss(get()), 200, (b"cache-control", b"no-store"))
    kit.clock.advance(10)
    assert isinstance(step(kit.flow(get())), Lookup)


# Rule 5: leading ----------------------------------------------------------------------------------


def test_a_miss_leads_looks_in_the_shared_store_and_forwards(kit: Kit) -> None:
    flow = kit.flow(get())
    effect = lookup(step(flow))
    assert effect.key == kit.asked(get()).plan.key
    assert kit.open_flights == 1
    kit.clock.advance(0.02)
    decision = forwarded(step(flow, (None, kit.now)))
    assert (decision.outcome, decision.reason) == (Outcome.MISS, "uri-miss")
    fetch = decision.fetch
    assert fetch is not None
    assert fetch.started == kit.now, "the time of the answer, not of the question"
    assert fetch.position == kit.engine.floors.current_position()
    assert fetch.flight is kit.engine.flights.open[effect.key.digest]
    assert fetch.fallback is None
    fetch.abandon()
    assert kit.open_flights == 0


def test_without_a_shared_store_a_miss_asks_for_nothing() -> None:
    kit = Kit(has_shared=False)
    decision = forwarded(step(kit.flow(get())))
    assert decision.fetch is not None
    assert decision.fetch.flight is not None
    assert forwarded(step(kit.flow(get("/products/1", TOKEN)))).outcome is Outcome.PERSONAL


def test_what_another_thread_landed_in_between_is_found_by_the_next_leader(kit: Kit) -> None:
    """Between a look into memory and the flight that follows from it, another may have landed."""
    leader = kit.miss(get())
    heir = follow(kit, get())
    entry = kit.entry(kit.asked(get()).plan.key)
    kit.engine.memory.put(entry)
    assert leader.fetch is not None
    leader.fetch.abandon()
    assert served(heir.wake(kit.now)).entry is entry
    assert kit.open_flights == 0


def test_the_position_is_noted_before_the_application_is_called(kit: Kit) -> None:
    """I5: an answer whose making began before a purge is dead, whenever it is kept."""
    forward = kit.miss(get())
    kit.keep(forward, b"read before it", meanwhile=lambda: kit.cache.purge(tags=["product:1"]))
    assert kit.hit(get()) is None
    assert isinstance(step(kit.flow(get())), Lookup)


def test_a_shared_hit_is_served_shared_with_followers_and_kept_in_memory(kit: Kit) -> None:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    follower = follow(kit, get())
    entry = kit.entry(key)
    decision = served(step(flow, (entry, kit.now)))
    assert (decision.entry, decision.outcome) == (entry, Outcome.HIT_SHARED)
    assert served(follower.wake(kit.now)).entry is entry
    assert kit.hit(get()) is entry
    assert kit.open_flights == 0


def test_a_stale_shared_entry_is_served_and_refreshed(kit: Kit) -> None:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    entry = kit.entry(key, fresh_until=kit.now - 1, stale_until=kit.now + 9)
    decision = served(step(flow, (entry, kit.now)))
    assert decision.outcome is Outcome.STALE_SHARED
    assert decision.refresh is not None
    assert kit.open_flights == 1, "the refresh's own"
    decision.refresh.abandon()
    assert kit.open_flights == 0


def test_a_shared_entry_that_may_stand_in_for_errors_is_kept_for_that(kit: Kit) -> None:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    entry = kit.entry(key, fresh_until=kit.now - 9, stale_until=kit.now - 9)
    decision = forwarded(step(flow, (entry, kit.now)))
    assert decision.fetch is not None
    assert decision.fetch.fallback is entry
    assert kit.engine.memory.get(key.digest) is entry


DEAD = [
    pytest.param({"fresh_until": 1.0, "stale_until": 1.0, "stale_error_until": 1.0}, id="over"),
    pytest.param({"tags": ("product:1",)}, id="purged"),
]


@pytest.mark.parametrize("changes", DEAD)
def test_a_dead_shared_entry_is_a_miss_and_not_kept(kit: Kit, changes: dict[str, Any]) -> None:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    entry = kit.entry(key, **changes)
    kit.cache.purge(tags=["product:1"])
    decision = forwarded(step(flow, (entry, kit.now)))
    assert decision.outcome is Outcome.MISS
    assert decision.fetch is not None
    assert decision.fetch.fallback is None
    assert kit.engine.memory.get(key.digest) is None


def test_a_shared_entry_of_another_life_of_the_log_is_a_miss(kit: Kit) -> None:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    entry = kit.entry(key)
    entry.position = Position(b"another!", entry.position.id)
    assert forwarded(step(flow, (entry, kit.now))).outcome is Outcome.MISS


# Variants -----------------------------------------------------------------------------------------


def test_a_marker_leads_to_the_variant_of_this_request(kit: Kit) -> None:
    request = get("/products/1", (b"accept-language", b"de"))
    flow = kit.flow(request)
    key = lookup(step(flow)).key
    second = lookup(step(flow, (marker_of(kit, key), kit.now)))
    assert second.key != key
    entry = kit.entry(second.key, vary=((b"accept-language", b"de"),))
    assert served(step(flow, (entry, kit.now))).outcome is Outcome.HIT_SHARED
    assert kit.hit(request) is entry
    assert kit.hit(get("/products/1", (b"accept-language", b"fr"))) is None
    assert kit.hit(get()) is None, "an absent field is a value of its own"


def test_a_known_marker_saves_the_first_lookup(kit: Kit) -> None:
    request = get("/products/1", (b"accept-language", b"de"))
    kit.fill(request, b"deutsch", (b"vary", b"accept-language"))
    french = lookup(step(kit.flow(get("/products/1", (b"accept-language", b"fr")))))
    assert french.key != kit.asked(request).plan.key


@pytest.mark.parametrize("second", [None, "marker"])
def test_a_marker_without_its_variant_is_a_miss(kit: Kit, second: str | None) -> None:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    other = lookup(step(flow, (marker_of(kit, key), kit.now)))
    found = marker_of(kit, other.key) if second else None
    assert forwarded(step(flow, (found, kit.now))).outcome is Outcome.MISS


# What the application sees ------------------------------------------------------------------------


def test_conditions_are_taken_off_a_miss_so_that_a_whole_answer_comes(kit: Kit) -> None:
    forward = kit.miss(get("/products/1", (b"if-none-match", b'"a"'), (b"accept", b"*/*")))
    assert forward.rewrite is not None
    assert list(forward.rewrite.headers) == [(b"host", b"shop.example"), (b"accept", b"*/*")]


@pytest.mark.parametrize("field", [COOKIE, TOKEN], ids=["cookie", "authorization"])
def test_conditions_stay_where_the_answer_will_hardly_be_kept(
    kit: Kit, field: tuple[bytes, bytes]
) -> None:
    forward = kit.miss(get("/products/1", (b"if-none-match", b'"a"'), field))
    assert forward.rewrite is None


def test_nothing_is_rewritten_where_nothing_is_taken_off(kit: Kit) -> None:
    assert kit.miss(get(query=b"a=1")).rewrite is None


def test_routes_without_tags_can_be_purged_as_a_whole() -> None:
    """Every entry carries its route's own tag and those of its URL."""
    kit = Kit({**ROUTE, "tags": []})
    kit.fill(get())
    kit.cache.log.purge(Purge(tags=("@route:products",)))
    assert kit.hit(get()) is None
    kit.fill(get())
    kit.cache.purge(urls=["/products/1"])
    assert kit.hit(get()) is None
