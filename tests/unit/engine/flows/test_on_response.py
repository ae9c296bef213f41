"""What becomes of the application's answer: relayed, kept, refused, or replaced by a stale one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachemw.engine.core.effects import Save, SharedWrite, save
from cachemw.engine.flows.on_response import Relayed, on_error
from cachemw.engine.keeping.storing import on_complete, refuse
from cachemw.engine.lookup.rendering import render
from cachemw.engine.model.entry import VaryMarker
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Forward, Serve
from cachemw.errors import StoreUnavailable
from cachemw.http.dates import format_date
from cachemw.http.messages import Answer
from tests.support.engine import (
    ROUTE,
    Field,
    Kit,
    follow,
    forwarded,
    get,
    names,
    served,
    step,
)

TYPE = (b"content-type", b"text/html")


def status_of(answer: Answer) -> bytes:
    return dict(answer.headers)[b"cache-status"]


def relayed(kit: Kit, forward: Forward, status: int, *fields: Field, **options: Any) -> Answer:
    decided = kit.head(forward, status, *fields, **options)
    assert isinstance(decided, Relayed), decided
    return decided.answer


# The head -----------------------------------------------------------------------------------------


def test_a_passed_answer_goes_out_as_it_is_and_says_why(kit: Kit) -> None:
    fields = [TYPE, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    forward = kit.miss(get("/elsewhere"))
    answer = relayed(kit, forward, 418, *fields)
    assert answer.status == 418
    assert answer.body is None
    assert answer.headers == [*fields, (b"cache-status", b"cachemw; fwd=bypass; detail=no-route")]


def test_a_kept_answer_goes_out_as_it_is(kit: Kit) -> None:
    """I2: same status, same pairs in order with duplicates kept."""
    fields = [(b"x-b", b"1"), TYPE, (b"x-a", b"2"), (b"x-b", b"3")]
    decided = kit.head(kit.miss(get()), 200, *fields)
    assert isinstance(decided, Relayed)
    answer, keeping = decided.answer, decided.collector
    assert (answer.status, answer.body) == (200, None)
    assert answer.headers == [*fields, (b"cache-status", b"cachemw; fwd=uri-miss")]
    assert keeping is not None
    assert keeping.max_size == kit.engine.routes[0].max_size


def test_a_whole_body_gives_the_answer_its_entity_tag_at_once(kit: Kit) -> None:
    answer = relayed(kit, kit.miss(get()), 200, TYPE, body=b"body")
    assert names(answer.headers) == [b"content-type", b"etag", b"cache-status"]
    assert status_of(answer) == b"cachemw; fwd=uri-miss; stored"


def test_an_entity_tag_of_the_application_is_left_alone(kit: Kit) -> None:
    answer = relayed(kit, kit.miss(get()), 200, (b"etag", b'"own"'), body=b"body")
    assert [value for name, value in answer.headers if name == b"etag"] == [b'"own"']


def test_inner_caches_keep_their_words_before_ours(kit: Kit) -> None:
    """RFC 9211 2: the cache nearest the client comes last."""
    answer = relayed(kit, kit.miss(get()), 200, (b"cache-status", b"inner; hit"))
    said = [value for name, value in answer.headers if name == b"cache-status"]
    assert said == [b"inner; hit", b"cachemw; fwd=uri-miss"]


@pytest.mark.parametrize(("path", "word"), [("/products/1", b"MISS"), ("/elsewhere", b"BYPASS")])
def test_x_cache_is_said_on_request(path: str, word: bytes) -> None:
    kit = Kit(x_cache=True)
    assert (b"x-cache", word) in relayed(kit, kit.miss(get(path)), 200).headers


REFUSED = [
    pytest.param(
        200, [(b"cache-control", b"no-store")], None, "no-store", id="the response says so"
    ),
    pytest.param(200, [(b"set-cookie", b"a=1")], None, "set-cookie", id="it sets a cookie"),
    pytest.param(200, [(b"vary", b"accept, *")], None, "vary-star", id="it varies on everything"),
    pytest.param(404, [], None, "status", id="its status"),
    pytest.param(
        200, [(b"content-length", b"9" * 5000)], None, "too-large", id="a length of 5,000 digits"
    ),
    pytest.param(
        200, [(b"cache-control", b"max-age=5"), (b"age", b"5")], b"x", "stale", id="over on arrival"
    ),
]


@pytest.mark.parametrize(("status", "fields", "body", "reason"), REFUSED)
def test_a_refusal_is_counted_remembered_and_releases_who_waits(
    status: int, fields: list[Field], body: bytes | None, reason: str
) -> None:
    kit = Kit({**ROUTE, "max_size": 100})
    forward = kit.miss(get())
    follower = follow(kit, get())
    decided = kit.head(forward, status, *fields, body=body)
    assert isinstance(decided, Relayed)
    answer, keeping = decided.answer, decided.collector
    if keeping is not None and body is not None:
        assert on_complete(kit.engine, keeping, body, kit.now) is None
    assert kit.events("not_stored") == {reason: 1}
    assert follower.waiter.result is not None
    assert kit.open_flights == 0
    assert kit.engine.is_uncacheable(kit.asked(get()).plan.key.digest)
    assert kit.hit(get()) is None
    assert answer.status == status


# Conditional requests -----------------------------------------------------------------------------


def test_a_client_that_has_the_answer_gets_a_304_while_the_answer_is_kept(kit: Kit) -> None:
    forward = kit.miss(get("/products/1", (b"if-none-match", b'"v1"')))
    decided = kit.head(forward, 200, TYPE, (b"etag", b'"v1"'), (b"content-length", b"4"))
    assert isinstance(decided, Relayed)
    answer, keeping = decided.answer, decided.collector
    assert (answer.status, answer.body) == (304, b"")
    assert names(answer.headers) == [b"etag", b"cache-status"]
    assert keeping is not None
    assert on_complete(kit.engine, keeping, b"body", kit.now) is not None
    assert kit.hit(get()) is not None


def test_another_answer_than_the_clients_goes_out_whole(kit: Kit) -> None:
    forward = kit.miss(get("/products/1", (b"if-none-match", b'"v0"')))
    assert relayed(kit, forward, 200, (b"etag", b'"v1"')).status == 200


def test_only_a_200_becomes_a_304(kit: Kit) -> None:
    """RFC 9110 13.2.1: conditions are ignored where the answer would not be 2xx."""
    forward = kit.miss(get("/products/1", (b"if-none-match", b'"v1"')))
    assert relayed(kit, forward, 404, (b"etag", b'"v1"')).status == 404


# Failing origins ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_stale_answer_stands_in_for_a_failing_origin(grace: Kit, status: int) -> None:
    """RFC 5861 4: these statuses, and no others."""
    entry = grace.fill(get())
    grace.clock.advance(80)
    forward = grace.miss(get())
    decision = grace.head(forward, status)
    assert isinstance(decision, Serve)
    assert (decision.entry, decision.outcome) == (entry, Outcome.STALE_IF_ERROR)
    assert grace.open_flights == 0


@pytest.mark.parametrize("status", [200, 404, 429, 501, 505])
def test_it_stands_in_for_no_other_answer(grace: Kit, status: int) -> None:
    grace.fill(get())
    grace.clock.advance(80)
    assert relayed(grace, grace.miss(get()), status).status == status


def test_a_stale_answer_stands_in_for_an_exception(grace: Kit) -> None:
    entry = grace.fill(get())
    grace.clock.advance(80)
    decision = on_error(grace.engine, grace.miss(get()), grace.now)
    assert served(decision).entry is entry
    assert grace.open_flights == 0


def failures(kit: Kit, forward: Forward) -> list[object]:
    return [kit.head(forward, 503), on_error(kit.engine, forward, kit.now)]


def test_past_its_window_nothing_stands_in(grace: Kit) -> None:
    grace.fill(get())
    grace.clock.advance(80)
    forward = grace.miss(get())
    grace.clock.advance(81)
    head, error = failures(grace, forward)
    assert isinstance(head, Relayed)
    assert error is None
    assert grace.open_flights == 0


def test_nothing_that_was_purged_during_the_call_stands_in(grace: Kit) -> None:
    """I5: the guard is that a stand-in is judged again."""
    grace.fill(get())
    grace.clock.advance(80)
    forward = grace.miss(get())
    grace.cache.purge(tags=["product:1"])
    head, error = failures(grace, forward)
    assert isinstance(head, Relayed)
    assert error is None


@pytest.mark.parametrize("failure", [0, 1], ids=["503", "exception"])
def test_a_failure_lets_who_waits_go_and_leaves_no_word(kit: Kit, failure: int) -> None:
    # Guard: `fail` in place of `refuse`. That a call failed says nothing of whether answers can be kept.
    forward = kit.miss(get())
    follower = follow(kit, get())
    if failure:
        assert on_error(kit.engine, forward, kit.now) is None
    else:
        kit.head(forward, 503)
    alone = forwarded(follower.wake(kit.now))
    assert alone.reason == "alone"
    assert alone.fetch is not None
    alone.fetch.fail()
    assert kit.open_flights == 0
    assert not kit.engine.is_uncacheable(kit.asked(get()).plan.key.digest)
    assert forward.fetch is not None
    assert not forward.fetch.uncacheable, "nor in the lease's place"
    assert kit.events("not_stored") == {"exception" if failure else "status": 1}


def test_an_exception_of_a_passed_request_is_none_of_ours(kit: Kit) -> None:
    assert on_error(kit.engine, kit.miss(get("/elsewhere")), kit.now) is None


# Keeping ------------------------------------------------------------------------------------------


def test_what_is_kept_is_what_the_application_said(kit: Kit) -> None:
    """I2."""
    fields = [(b"x-b", b"1"), TYPE, (b"x-a", b"2"), (b"x-b", b"3"), (b"content-length", b"4")]
    entry = kit.keep(kit.miss(get()), b"body", *fields)
    tag = [pair for pair in entry.headers if pair[0] == b"etag"]
    assert [pair for pair in entry.headers if pair not in tag] == fields
    assert len(tag) == 1
    assert (entry.status, entry.body, entry.route) == (200, b"body", "products")
    assert entry.key == kit.asked(get()).plan.key.digest
    assert entry.vary == ()
    assert set(entry.tags) >= {"product:1", "@route:products", "@/products/1"}


def test_a_lifetime_counts_from_the_response_s_own_birth(kit: Kit) -> None:
    """RFC 9111 4.2.3: its age on arrival, and the time that the application took."""
    forward = kit.miss(get())
    kit.clock.advance(3)
    entry = kit.keep(forward, b"body", (b"age", b"20"))
    assert entry.born == kit.now - 23
    assert entry.fresh_until == kit.now + 37


def test_a_date_gone_by_is_an_age(kit: Kit) -> None:
    entry = kit.keep(kit.miss(get()), b"body", (b"date", format_date(kit.clock.time() - 20)))
    assert entry.born == kit.now - 20


def test_an_answer_that_took_its_whole_lifetime_is_not_kept(kit: Kit) -> None:
    slow = kit.miss(get())
    assert kit.complete(slow, b"slow", meanwhile=lambda: kit.clock.advance(60)) is None
    assert kit.events("not_stored") == {"stale": 1}
    assert kit.open_flights == 0


@pytest.mark.parametrize("length", [b"3", b"5", b"04"])
def test_a_body_that_is_not_as_long_as_it_said_is_not_kept(kit: Kit, length: bytes) -> None:
    assert kit.complete(kit.miss(get()), b"body", (b"content-length", length)) is None
    assert kit.events("not_stored") == {"length": 1}
    assert kit.hit(get()) is None
    assert kit.open_flights == 0


def test_refusing_after_all_is_done_changes_nothing_for_a_new_flight(kit: Kit) -> None:
    forward = kit.miss(get())
    kit.keep(forward, b"body")
    kit.clock.advance(61)
    kit.miss(get())
    assert forward.fetch is not None
    refuse(kit.engine, forward.fetch, "late")
    assert kit.open_flights == 1


# Variants -----------------------------------------------------------------------------------------

LANGUAGE = (b"vary", b"Accept-Language, Host")


def test_an_answer_that_varies_is_kept_under_a_marker(kit: Kit) -> None:
    request = get("/products/1", (b"accept-language", b"de"))
    stored = kit.complete(kit.miss(request), b"deutsch", LANGUAGE)
    assert stored is not None
    (primary, marker), (variant, entry) = stored.entries
    assert primary == kit.asked(request).plan.key
    assert isinstance(marker, VaryMarker)
    assert marker.names == (b"accept-language",)
    assert entry.vary == ((b"accept-language", b"de"),)
    assert entry.key == variant.digest != primary.digest
    assert marker.tags == entry.tags
    assert (marker.position, marker.dies_at) == (entry.position, entry.dies_at)


@pytest.mark.parametrize("name", [b"cookie", b"authorization"])
def test_a_secret_that_selects_is_not_kept_in_clear(kit: Kit, name: bytes) -> None:
    """I1: neither in the entry nor in its key."""
    request = get("/products/1", (name, b"hunter2"))
    fields = [(b"vary", name), (b"cache-control", b"public")]
    stored = kit.complete(kit.miss(request), b"mine", *fields)
    assert stored is not None
    assert len(stored.entries) == 2
    for key, item in stored.entries:
        assert b"hunter2" not in key.full
        assert b"hunter2" not in msgspec.msgpack.encode(item)


def test_fields_that_the_key_holds_make_no_variants() -> None:
    kit = Kit({**ROUTE, "vary": ["Accept-Language"], "cookies": ["theme"]})
    request = get("/products/1", (b"accept-language", b"de"), (b"cookie", b"theme=dark"))
    entry = kit.fill(request, b"x", (b"vary", b"accept-language, cookie, origin, host"))
    assert entry.vary == ()
    assert kit.hit(request) is entry


# The shared store ---------------------------------------------------------------------------------


def test_saving_writes_every_entry_in_order(kit: Kit) -> None:
    request = get("/products/1", (b"accept-language", b"de"))
    stored = kit.complete(kit.miss(request), b"deutsch", LANGUAGE)
    assert stored is not None
    flow = save(stored)
    for key, entry in stored.entries:
        assert next(flow) == Save(entry, key, "products")
    with pytest.raises(StopIteration) as stop:
        next(flow)
    assert stop.value.value is True


def test_an_ill_store_ends_the_saving_quietly(kit: Kit) -> None:
    """I3."""
    key = kit.asked(get()).plan.key
    flow = save(SharedWrite(((key, kit.entry(key)), (key, kit.entry(key))), "products"))
    next(flow)
    with pytest.raises(StopIteration) as stop:
        flow.throw(StoreUnavailable())
    assert stop.value.value is False


# Rendering ----------------------------------------------------------------------------------------


def rendered(kit: Kit, *fields: Field, method: str = "GET") -> Answer:
    decision = served(step(kit.flow(get("/products/1", *fields, method=method))))
    return render(kit.engine, decision)


def test_a_hit_carries_its_age_and_how_long_it_is_fresh(kit: Kit) -> None:
    """RFC 9111 5.1, RFC 9211 2.4."""
    kit.fill(get(), b"body", TYPE)
    kit.clock.advance(20)
    answer = rendered(kit)
    assert (answer.status, answer.body) == (200, b"body")
    assert (b"age", b"20") in answer.headers
    assert status_of(answer) == b"cachemw; hit; ttl=40; detail=memory"


def test_a_stale_hit_has_a_negative_ttl(grace: Kit) -> None:
    grace.fill(get())
    grace.clock.advance(65)
    assert status_of(rendered(grace)) == b"cachemw; hit; ttl=-5; detail=stale"


SERVED = [
    (Outcome.HIT_MEMORY, b"cachemw; hit; ttl=60; detail=memory"),
    (Outcome.HIT_SHARED, b"cachemw; hit; ttl=60; detail=shared"),
    (Outcome.HIT_COALESCED, b"cachemw; fwd=uri-miss; ttl=60; collapsed"),
    (Outcome.STALE_MEMORY, b"cachemw; hit; ttl=60; detail=stale"),
    (Outcome.STALE_SHARED, b"cachemw; hit; ttl=60; detail=stale"),
    (Outcome.STALE_IF_ERROR, b"cachemw; hit; ttl=60; detail=stale-if-error"),
    (Outcome.REVALIDATED, b"cachemw; fwd=stale; fwd-status=304; ttl=60"),
    (Outcome.UNSATISFIED, b"cachemw; detail=only-if-cached"),
]


@pytest.mark.parametrize(("outcome", "said"), SERVED)
def test_every_way_of_serving_says_what_it_was(kit: Kit, outcome: Outcome, said: bytes) -> None:
    entry = kit.fill(get())
    decision = Serve(cacheable=kit.asked(get()), entry=entry, outcome=outcome, now=kit.now)
    assert status_of(render(kit.engine, decision)) == said


def test_every_way_of_serving_is_in_the_table() -> None:
    told = {outcome for outcome, _ in SERVED}
    assert told >= {outcome for outcome in Outcome if not outcome.calls_origin}


def test_the_key_is_said_on_request() -> None:
    kit = Kit(show_keys=True)
    key = kit.asked(get()).key.digest.hex().encode()
    missed = relayed(kit, kit.miss(get()), 200)
    assert status_of(missed) == b'cachemw; fwd=uri-miss; key="%s"' % key
    kit.cache._core.engine.flights.open.clear()
    kit.fill(get())
    assert status_of(rendered(kit)) == b'cachemw; hit; ttl=60; detail=memory; key="%s"' % key


def test_x_cache_says_hit() -> None:
    kit = Kit(x_cache=True)
    kit.fill(get())
    assert (b"x-cache", b"HIT") in rendered(kit).headers


def test_head_is_answered_with_the_fields_of_get_and_no_body(kit: Kit) -> None:
    kit.fill(get(), b"body")
    answer = rendered(kit, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert (b"content-length", b"4") in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_has_it_gets_a_304_from_the_store(kit: Kit, method: str) -> None:
    entry = kit.fill(get(), b"body", TYPE)
    tag = dict(entry.headers)[b"etag"]
    answer = rendered(kit, (b"if-none-match", tag), method=method)
    assert (answer.status, answer.body) == (304, b"")
    assert names(answer.headers) == [b"etag", b"age", b"cache-status"]


def test_a_stored_error_is_never_a_304() -> None:
    kit = Kit({**ROUTE, "negative_ttl": "5s"})
    kit.keep(kit.miss(get()), b"gone", (b"etag", b'"v1"'), status=404)
    assert rendered(kit, (b"if-none-match", b'"v1"')).status == 404
