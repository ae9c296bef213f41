"""Stale answers with a validator: the application is asked if they are current, and believed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.engine.flows.on_request import refreshing
from cachemw.engine.flows.on_response import AskAgain, Relayed, on_error
from cachemw.engine.lookup.rendering import render
from cachemw.engine.model.entry import Entry
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Forward, Serve
from cachemw.http.dates import format_date
from cachemw.http.messages import Content
from tests.support.engine import (
    GRACE,
    ROUTE,
    Field,
    Kit,
    follow,
    forwarded,
    get,
    lookup,
    served,
    step,
)

ETAG, MODIFIED = (b"etag", b'"v1"'), (b"last-modified", b"Mon, 05 Jan 2026 08:00:00 GMT")
TYPE = (b"content-type", b"text/html")
NO_CACHE = (b"cache-control", b"no-cache")


@pytest.fixture
def kit() -> Kit:
    return Kit()


def stale(kit: Kit, *fields: Field) -> Entry:
    """Keep an answer, and let its lifetime pass."""
    entry = kit.fill(get(), b"body", *(fields or (ETAG, MODIFIED, TYPE)))
    kit.clock.advance(61)
    return entry


def sent(forward: Forward) -> dict[bytes, bytes]:
    """Give the fields that the application sees."""
    assert forward.fetch is not None
    fields = forward.rewrite.headers if forward.rewrite else forward.fetch.cacheable.request.headers
    return dict(fields.pairs)


def answered(kit: Kit, forward: Forward, status: int, *fields: Field) -> Relayed | Serve | AskAgain:
    return kit.head(forward, status, *fields)


def test_the_application_is_asked_with_what_it_said_itself(kit: Kit) -> None:
    """RFC 9111 4.3.1."""
    stale(kit)
    forward = kit.miss(get())
    assert (forward.outcome, forward.reason) == (Outcome.MISS, "stale")
    assert sent(forward)[b"if-none-match"] == b'"v1"'
    assert sent(forward)[b"if-modified-since"] == MODIFIED[1]
    assert forward.fetch is not None
    assert forward.fetch.validates


def test_it_is_not_asked_about_an_entity_tag_of_ours(kit: Kit) -> None:
    """It has never seen it; the guard is that our own tags are known by their body."""
    entry = kit.fill(get(), b"body", MODIFIED)
    assert b"etag" in dict(entry.headers)
    kit.clock.advance(61)
    fields = sent(kit.miss(get()))
    assert b"if-none-match" not in fields
    assert b"if-modified-since" in fields


def test_an_answer_without_a_validator_is_fetched_anew(kit: Kit) -> None:
    kit.fill(get(), b"body", TYPE)
    kit.clock.advance(61)
    forward = kit.miss(get())
    assert forward.reason == "uri-miss", "it is not even kept"
    assert b"if-none-match" not in sent(forward)


def test_our_conditions_stand_in_for_the_clients(kit: Kit) -> None:
    stale(kit)
    forward = kit.miss(get("/products/1", (b"if-none-match", b'"client"')))
    assert sent(forward)[b"if-none-match"] == b'"v1"'


def test_a_304_makes_the_stored_answer_current(kit: Kit) -> None:
    """RFC 9111 4.3.4: its body, the 304's fields, and a new life."""
    stale(kit)
    forward = kit.miss(get())
    decision = answered(kit, forward, 304, ETAG, (b"x-new", b"1"), (b"content-type", b"text/plain"))
    entry = served(decision).entry
    assert (entry.status, entry.body) == (200, b"body")
    assert dict(entry.headers)[b"x-new"] == b"1"
    assert dict(entry.headers)[b"content-type"] == b"text/plain"
    assert served(decision).outcome is Outcome.REVALIDATED
    assert kit.hit(get()) is entry
    assert entry.fresh_until == kit.now + 60
    assert kit.open_flights == 0
    stored = served(decision).pending_save
    assert stored is not None
    assert [each for _, each in stored.entries] == [entry]


def test_followers_of_a_validation_are_served_what_it_found(kit: Kit) -> None:
    stale(kit)
    forward = kit.miss(get())
    follower = follow(kit, get())
    answered(kit, forward, 304, ETAG)
    decision = served(follower.wake(kit.now))
    assert (decision.outcome, decision.entry.body) == (Outcome.HIT_COALESCED, b"body")


def test_the_answer_to_a_validation_says_so(kit: Kit) -> None:
    """RFC 9211 2.2, 2.3."""
    stale(kit)
    answer = render(kit.engine, served(answered(kit, kit.miss(get()), 304, ETAG)))
    assert (answer.status, answer.body) == (200, b"body")
    said = dict(answer.headers)[b"cache-status"]
    assert said == b"cachemw; fwd=stale; fwd-status=304; ttl=60; stored"


def test_a_client_that_has_it_gets_a_304_after_validation(kit: Kit) -> None:
    stale(kit)
    forward = kit.miss(get("/products/1", (b"if-none-match", b'"v1"')))
    answer = render(kit.engine, served(answered(kit, forward, 304, ETAG)))
    assert (answer.status, answer.body) == (304, b"")


OTHERS = [
    pytest.param((ETAG,), (b"etag", b'"v2"'), id="9111 4.3.4 another strong tag"),
    pytest.param(((b"etag", b'W/"v1"'),), (b"etag", b'W/"v2"'), id="9111 4.3.4 another weak tag"),
    pytest.param(((b"etag", b'W/"v1"'),), ETAG, id="9110 8.8.3.2 a strong tag on a weak one"),
    pytest.param((MODIFIED,), ETAG, id="9111 4.3.4 a tag on none"),
    pytest.param(
        (MODIFIED,), (b"last-modified", b"Tue, 06 Jan 2026 08:00:00 GMT"), id="9111 4.3.4 a date"
    ),
]


@pytest.mark.parametrize(("stored", "named"), OTHERS)
def test_a_304_about_something_else_renews_nothing(
    kit: Kit, stored: tuple[Field, ...], named: Field
) -> None:
    """RFC 9111 4.3.4. Guards: `matches` in `validated`, and what follows it."""
    old = stale(kit, *stored)
    forward = kit.miss(get())
    decision = answered(kit, forward, 304, named, (b"x-new", b"1"))
    assert isinstance(decision, AskAgain)
    assert (decision.forward.fetch, decision.forward.rewrite) == (None, None)
    assert kit.engine.memory.get(old.key) is None
    assert kit.open_flights == 0
    assert kit.events("not_stored") == {"validator": 1}
    again = kit.miss(get())
    assert not {b"if-none-match", b"if-modified-since"} & set(sent(again))
    entry = kit.keep(again, b"new", named)
    assert kit.hit(get()) is entry


def test_what_is_asked_for_again_goes_out_as_it_comes(kit: Kit) -> None:
    stale(kit)
    forward = kit.miss(get())
    follower = follow(kit, get())
    decision = answered(kit, forward, 304, (b"etag", b'"v2"'))
    assert isinstance(decision, AskAgain)
    again = answered(kit, decision.forward, 304, (b"etag", b'"v2"'))
    assert isinstance(again, Relayed), "it is asked twice at most"
    assert again.answer.status == 304
    assert forwarded(follower.wake(kit.now)).reason == "alone"


def test_a_query_is_answered_by_the_stale_answer_once() -> None:
    """Its body is gone. The client has not asked for a 304, and there is no other body."""
    kit = Kit({**ROUTE, "methods": ["QUERY"], "body": "raw"})
    request = replace(get(method="QUERY"), content=Content(b"q"))
    kit.fill(request, b"body", ETAG)
    kit.clock.advance(61)
    other = ((b"etag", b'"v2"'), (b"x-new", b"1"), (b"set-cookie", b"sid=1"))
    answer = render(kit.engine, served(answered(kit, kit.miss(request), 304, *other)))
    headers = dict(answer.headers)
    assert (answer.status, answer.body, headers[b"etag"]) == (200, b"body", b'"v1"')
    assert not {b"x-new", b"set-cookie"} & set(headers)
    assert int(headers[b"age"]) == 61
    assert b"detail=stale-if-error" in headers[b"cache-status"]
    assert b"if-none-match" not in sent(kit.miss(request))


def test_a_query_is_not_answered_by_what_was_purged_during_its_call() -> None:
    """I5. Guard: `still_counts` in `_replace_unvalidated`."""
    kit = Kit({**ROUTE, "methods": ["QUERY"], "body": "raw"})
    request = replace(get(method="QUERY"), content=Content(b"q"))
    kit.fill(request, b"body", ETAG)
    kit.clock.advance(61)
    forward = kit.miss(request)
    kit.cache.purge(tags=["product:1"])
    decision = answered(kit, forward, 304, (b"etag", b'"v2"'))
    assert isinstance(decision, Relayed)
    assert decision.answer.status == 304


def test_a_refresh_by_a_304_about_something_else_renews_nothing() -> None:
    kit = Kit(GRACE)
    old = stale(kit)
    decision = served(step(kit.flow(get())))
    assert decision.refresh is not None
    answered(kit, refreshing(decision.refresh), 304, (b"etag", b'"v2"'))
    assert kit.engine.memory.get(old.key) is None
    assert kit.open_flights == 0


def test_a_cookie_in_a_304_goes_to_its_client_alone(kit: Kit) -> None:
    """I1: not into the store, not to a follower."""
    stale(kit)
    forward = kit.miss(get())
    follower = follow(kit, get())
    decision = served(answered(kit, forward, 304, ETAG, (b"set-cookie", b"sid=1")))
    assert (b"set-cookie", b"sid=1") in render(kit.engine, decision).headers
    assert decision.pending_save is None
    assert kit.hit(get()) is None
    woken = forwarded(follower.wake(kit.now))
    assert woken.reason == "alone"


@pytest.mark.parametrize("said", [b"no-store", b"private"])
def test_what_a_304_forbids_is_not_kept(kit: Kit, said: bytes) -> None:
    stale(kit)
    decision = served(answered(kit, kit.miss(get()), 304, ETAG, (b"cache-control", said)))
    assert decision.entry.body == b"body"
    assert decision.pending_save is None
    assert kit.hit(get()) is None


def test_a_new_answer_takes_the_place_of_the_stale_one(kit: Kit) -> None:
    stale(kit)
    entry = kit.keep(kit.miss(get()), b"new", (b"etag", b'"v2"'))
    assert kit.hit(get()) is entry


def test_an_old_date_does_not_age_what_was_validated_now(kit: Kit) -> None:
    kit.fill(get(), b"body", ETAG, (b"date", format_date(kit.clock.time())))
    kit.clock.advance(61)
    entry = served(answered(kit, kit.miss(get()), 304, ETAG)).entry
    assert entry.born == kit.now
    assert b"date" not in dict(entry.headers)


def expires(kit: Kit, seconds: float) -> Field:
    return b"expires", format_date(kit.clock.time() + seconds)


def test_a_304_brings_a_lifetime_of_its_own(kit: Kit) -> None:
    """RFC 9111 3.2. The guard: the `max-age` that was added for caches downstream is taken out first."""
    first = kit.fill(get(), b"body", ETAG, expires(kit, 60))
    assert (b"cache-control", b"max-age=60") in first.headers
    kit.clock.advance(61)
    entry = served(answered(kit, kit.miss(get()), 304, ETAG, expires(kit, 5))).entry
    assert entry.fresh_until == kit.now + 5
    assert dict(entry.headers)[b"cache-control"] == b"max-age=5"
    assert dict(entry.headers)[b"date"] == format_date(kit.clock.time())


def test_a_304_without_a_lifetime_prolongs_no_expires(kit: Kit) -> None:
    """RFC 9111 3.2, 4.2.1: the stored Expires is over, and stays so."""
    kit.fill(get(), b"body", ETAG, expires(kit, 60))
    kit.clock.advance(61)
    answered(kit, kit.miss(get()), 304, ETAG)
    assert kit.hit(get()) is None


def test_a_coding_stays_named_after_a_304(kit: Kit) -> None:
    request = get("/products/1", (b"accept-encoding", b"gzip"))
    kit.fill(request, b"body", ETAG, (b"content-encoding", b"gzip"))
    kit.clock.advance(61)
    entry = served(answered(kit, kit.miss(request), 304, ETAG, (b"vary", b"Accept"))).entry
    assert dict(entry.headers)[b"vary"] == b"Accept, Accept-Encoding"


def test_a_purge_during_the_validation_counts(kit: Kit) -> None:
    """I5: the guard is that the entry carries the position from before the call."""
    stale(kit)
    forward = kit.miss(get())
    kit.cache.purge(tags=["product:1"])
    answered(kit, forward, 304, ETAG)
    assert kit.hit(get()) is None


def test_a_purged_answer_is_not_validated(kit: Kit) -> None:
    stale(kit)
    kit.cache.purge(tags=["product:1"])
    assert b"if-none-match" not in sent(kit.miss(get()))


def test_a_softly_purged_answer_is_validated(kit: Kit) -> None:
    kit.fill(get(), b"body", ETAG)
    kit.cache.purge(tags=["product:1"], soft=True)
    forward = kit.miss(get())
    assert sent(forward)[b"if-none-match"] == b'"v1"'
    assert kit.hit(get()) is None
    answered(kit, forward, 304, ETAG)
    assert kit.hit(get()) is not None


def test_it_is_kept_for_validation_only_so_long() -> None:
    kit = Kit({**ROUTE, "retain": "10s"})
    kit.fill(get(), b"body", ETAG)
    kit.clock.advance(69)
    forward = kit.miss(get())
    assert b"if-none-match" in sent(forward)
    assert forward.fetch is not None
    forward.fetch.abandon()
    kit.clock.advance(2)
    assert b"if-none-match" not in sent(kit.miss(get()))


def test_a_background_refresh_validates_too() -> None:
    kit = Kit(GRACE)
    stale(kit)
    decision = served(step(kit.flow(get())))
    assert decision.outcome is Outcome.STALE_MEMORY
    assert decision.refresh is not None
    forward = refreshing(decision.refresh)
    assert sent(forward)[b"if-none-match"] == b'"v1"'
    answered(kit, forward, 304, ETAG)
    assert kit.hit(get()) is not None


def test_a_failing_validation_is_a_failing_origin() -> None:
    kit = Kit(GRACE)
    stale(kit)
    kit.clock.advance(20)
    forward = kit.miss(get())
    assert served(answered(kit, forward, 503)).outcome is Outcome.STALE_IF_ERROR
    assert served(on_error(kit.engine, forward, kit.now)).outcome is Outcome.STALE_IF_ERROR


# Answers that must be validated at every use (no-cache) --------------------------------------------


def test_no_cache_is_kept_and_asked_about_every_time() -> None:
    """RFC 9111 5.2.2.4."""
    kit = Kit()
    kit.fill(get(), b"body", ETAG, NO_CACHE)
    for _ in range(2):
        assert kit.hit(get()) is None
        forward = kit.miss(get())
        assert sent(forward)[b"if-none-match"] == b'"v1"'
        decision = served(answered(kit, forward, 304, ETAG, NO_CACHE))
        assert decision.entry.body == b"body"


def test_nobody_queues_for_what_must_be_validated() -> None:
    kit = Kit()
    kit.fill(get(), b"body", ETAG, NO_CACHE)
    first, second = kit.miss(get()), kit.miss(get())
    assert first.fetch is not None
    assert second.fetch is not None
    assert (first.fetch.flight, second.fetch.flight) == (None, None)
    assert kit.open_flights == 0


def test_the_first_no_cache_answer_lets_go_who_waits_for_it() -> None:
    kit = Kit()
    forward = kit.miss(get())
    follower = follow(kit, get())
    kit.keep(forward, b"body", ETAG, NO_CACHE)
    assert sent(forwarded(follower.wake(kit.now)))[b"host"]
    assert kit.open_flights == 0


def test_what_is_in_the_shared_store_is_validated_too(kit: Kit) -> None:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    past = kit.now - 100
    old = kit.entry(
        key,
        headers=(ETAG,),
        born=past,
        fresh_until=past + 60,
        stale_until=past + 60,
        stale_error_until=past + 60,
        dies_at=kit.now + 900,
    )
    forward = forwarded(step(flow, (old, kit.now)))
    assert sent(forward)[b"if-none-match"] == b'"v1"'
    assert served(answered(kit, forward, 304, ETAG)).entry.body == b"shared"


# HEAD ----------------------------------------------------------------------------------------------


def head(kit: Kit, status: int, *fields: Field) -> Any:
    forward = kit.miss(get(method="HEAD"))
    assert forward.reason == "method"
    return answered(kit, forward, status, *fields)


def test_a_head_freshens_what_is_stored(kit: Kit) -> None:
    """RFC 9111 4.3.5."""
    stale(kit)
    decision = head(kit, 200, ETAG, (b"x-new", b"1"))
    assert decision.answer.status == 200
    assert decision.pending_save is not None
    entry = kit.hit(get())
    assert entry is not None
    assert (entry.body, dict(entry.headers)[b"x-new"]) == (b"body", b"1")


@pytest.mark.parametrize(
    ("status", "field"),
    [
        pytest.param(200, (b"etag", b'"v2"'), id="another entity tag"),
        pytest.param(200, (b"content-length", b"9"), id="another length"),
        pytest.param(410, ETAG, id="another status"),
    ],
)
def test_a_head_of_something_else_ends_what_is_stored(kit: Kit, status: int, field: Field) -> None:
    old = stale(kit)
    assert head(kit, status, field).pending_save is None
    assert kit.engine.memory.get(old.key) is None


def test_a_head_that_fails_says_nothing(kit: Kit) -> None:
    old = stale(kit)
    assert head(kit, 503).answer.status == 503
    assert kit.engine.memory.get(old.key) is old


def test_a_head_is_answered_from_the_shared_store(kit: Kit) -> None:
    flow = kit.flow(get(method="HEAD"))
    key = lookup(step(flow)).key
    assert served(step(flow, (kit.entry(key), kit.now))).outcome is Outcome.HIT_SHARED


def test_a_304_to_a_clients_own_condition_is_the_clients(kit: Kit) -> None:
    """Where nothing of ours was asked, the application's 304 passes."""
    forward = kit.miss(get("/products/1", (b"cookie", b"sid=1"), (b"if-none-match", b'"x"')))
    decided = kit.head(forward, 304)
    assert isinstance(decided, Relayed)
    assert decided.answer.status == 304
