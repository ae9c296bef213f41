"""Storing: the limits of a route, what is stored, and what becomes of a response that is refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cachemw.engine.core.flights import WaitResult
from cachemw.engine.flows.on_response import Relayed
from cachemw.engine.keeping.collector import Collector
from cachemw.engine.keeping.storing import broke_off, on_complete, spoil
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import Operation
from cachemw.http.messages import Content, Head, Request
from cachemw.recording.context import MadeEarlier, Recording
from tests.support.engine import ROUTE, Field, Kit, follow, get, names

ETAG = (b"etag", b'"v1"')


def refused(kit: Kit, request: Request, body: bytes, *fields: Field, whole: bool) -> str | None:
    """Let the application answer; return why it was not stored, or None.

    `whole` says that the body is known together with the head.
    """
    before = kit.events("not_stored")
    decided = kit.head(kit.miss(request), 200, *fields, body=body if whole else None)
    assert isinstance(decided, Relayed)
    if isinstance(decided.collector, Collector):
        on_complete(kit.engine, decided.collector, body, kit.now)
    counted = kit.events("not_stored")
    reasons = [reason for reason in counted if counted[reason] != before.get(reason, 0)]
    assert kit.open_flights == 0
    if not reasons:
        return None
    assert kit.hit(request) is None
    [reason] = reasons
    return reason


# The limits of the route --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "reason"), [(0, None), (100, None), (101, "too-large")], ids=["none", "all", "more"]
)
def test_a_body_may_be_as_large_as_the_route_says(size: int, reason: str | None) -> None:
    """I4."""
    for whole, fields in ((True, []), (False, [(b"content-length", b"%d" % size)])):
        kit = Kit({**ROUTE, "max_size": 100})
        assert refused(kit, get(), b"x" * size, *fields, whole=whole) == reason


@pytest.mark.parametrize("length", [b"", b"x", b"-1", b"+5", b"1e3"])
def test_a_length_that_cannot_be_read_says_nothing_of_the_size(length: bytes) -> None:
    """The body is collected, and the response is refused for the length when its end has come."""
    kit = Kit({**ROUTE, "max_size": 1})
    assert refused(kit, get(), b"x", (b"content-length", length), whole=False) == "length"


@pytest.mark.parametrize(
    ("directives", "reason"),
    [(b"no-store", "request"), (b"max-age=0", None), (b"no-cache", None), (b"max-stale", None)],
)
def test_a_client_that_is_honoured_may_say_that_nothing_is_stored(
    directives: bytes, reason: str | None
) -> None:
    """RFC 9111 5.2.1.5."""
    kit = Kit({**ROUTE, "client_directives": "honour"})
    request = get("/products/1", (b"cache-control", directives))
    assert refused(kit, request, b"body", whole=True) == reason
    assert kit.events("stored") == ({} if reason else {"": 1})


def test_the_answer_to_a_post_is_kept_while_it_is_fresh_and_no_longer() -> None:
    """RFC 9110 9.3.3: nothing can validate it afterwards."""
    route = {
        "path": "/p",
        "ttl": "60s",
        "retain": "100s",
        "methods": ["GET", "POST"],
        "body": "raw",
    }
    kit = Kit(route)
    post = replace(get("/p"), method="POST", content=Content(b"body"))
    entry = kit.fill(post, b"x", ETAG)
    assert (entry.fresh_until, entry.dies_at) == (entry.born + 60, entry.born + 60)
    entry = kit.fill(get("/p"), b"x", ETAG)
    assert (entry.fresh_until, entry.dies_at) == (entry.born + 60, entry.born + 160)


class Strict:
    """A query language in which only the body `good` is a whole answer."""

    def __init__(self) -> None:
        self.read: list[bytes] = []

    def operation(self, request: Request, query: bytes, *, persisted: Operation) -> Operation:
        return "query"

    def is_whole(self, head: Head, body: bytes) -> bool:
        self.read.append(body)
        return body == b"good"


@pytest.mark.parametrize("whole", [True, False], ids=["known with the head", "collected"])
@pytest.mark.parametrize(("body", "reason"), [(b"good", None), (b"bad", "graphql-errors")])
def test_what_the_language_of_the_route_cannot_read_is_not_stored(
    body: bytes, reason: str | None, whole: bool
) -> None:
    kit = Kit()
    language = kit.engine.routes[0].language = Strict()
    assert refused(kit, get(), body, whole=whole) == reason
    assert language.read == [body], "once, and only when all of it is there"


@pytest.mark.parametrize(("tags", "reason"), [(b"a,b", None), (b"a,b,c", "too-many-tags")])
def test_an_answer_may_have_as_many_tags_as_the_configuration_says(
    tags: bytes, reason: str | None
) -> None:
    """I4. Those of its route do not count."""
    kit = Kit(recording={"max_tags": 2})
    assert refused(kit, get(), b"body", (b"cache-tag", tags), whole=False) == reason
    assert kit.events("stored") == ({} if reason else {"": 1})


STREAMS = [
    pytest.param(b"text/event-stream", True, id="events"),
    pytest.param(b"Text/Event-Stream ; charset=utf-8", True, id="9110 8.3.1 spelt otherwise"),
    pytest.param(b"multipart/x-mixed-replace;boundary=x", True, id="pictures that move"),
    pytest.param(b"text/plain; of=text/event-stream", False, id="as a parameter"),
    pytest.param(b"text/event-streams", False, id="another type"),
    pytest.param(b"multipart/mixed", False, id="a multipart body that ends"),
]


@pytest.mark.parametrize(("kind", "endless"), STREAMS)
def test_nobody_waits_for_the_end_of_a_stream_that_has_none(kind: bytes, endless: bool) -> None:
    reason = refused(Kit(), get(), b"", (b"content-type", kind), whole=False)
    assert reason == ("event-stream" if endless else None)


@pytest.mark.parametrize("status", [204, 205])
def test_a_body_where_none_may_be_is_not_stored(status: int) -> None:
    """RFC 9110 15.3.5, 15.3.6: what comes after it belongs to another response."""
    stated = (b"cache-control", b"max-age=60")
    for body, reasons in ((b"", {}), (b"x", {"length": 1})):
        kit = Kit({**ROUTE, "ttl": "response"})
        kit.complete(kit.miss(get()), body, stated, status=status)
        assert kit.events("not_stored") == reasons


@pytest.mark.parametrize(
    ("fields", "marked"),
    [([], True), ([(b"authorization", b"x")], False), ([(b"cookie", b"sid=1")], False)],
    ids=["plain", "authorization", "cookie"],
)
def test_nobody_queues_for_what_cannot_be_stored_unless_it_is_about_one_client(
    fields: list[Field], marked: bool
) -> None:
    kit = Kit()
    leader = kit.miss(get("/products/1", *fields))
    assert leader.fetch is not None
    kit.head(leader, 200, (b"cache-control", b"no-store"))
    assert leader.fetch.uncacheable is marked
    assert kit.engine.is_uncacheable(leader.fetch.digest) is marked


@pytest.mark.parametrize("known", ["with the head", "at the end"])
def test_what_was_made_from_a_stale_part_is_not_stored_and_the_next_may_be(known: str) -> None:
    kit = Kit()
    leader, follower = kit.miss(get()), follow(kit, get())
    assert leader.fetch is not None
    leader.fetch.recording = recording = Recording()
    if known == "with the head":
        recording.has_stale_part = True
    decided = kit.head(leader)
    assert isinstance(decided, Relayed)
    assert (decided.collector is None) is (known == "with the head")
    if isinstance(decided.collector, Collector):
        recording.has_stale_part = True
        assert on_complete(kit.engine, decided.collector, b"body", kit.now) is None
    assert kit.events("not_stored") == {"stale-part": 1}
    assert kit.hit(get()) is None
    assert follower.waiter.result is not None
    assert follower.waiter.result.outcome is WaitResult.ALONE, "it calls, and others wait on"
    assert not leader.fetch.uncacheable
    assert not kit.engine.is_uncacheable(leader.fetch.digest)


@pytest.mark.parametrize("older", [True, False])
def test_who_waits_for_what_is_made_from_a_stale_part_calls_however_old_its_rows_are(
    older: bool,
) -> None:
    """Rows may be older than a call: they count only for what a purge has overtaken."""
    kit = Kit()
    began = kit.engine.floors.current_position()
    kit.cache.purge(tags=["other"])
    leader = kit.miss(get())
    assert leader.fetch is not None
    leader.fetch.recording = recording = Recording()
    recording.has_stale_part = True
    if older:
        recording.read_at(began)
    kit.head(leader)
    assert kit.events("not_stored") == {"stale-part": 1}
    assert not leader.fetch.uncacheable


@pytest.mark.parametrize("known", ["with the head", "at the end"])
def test_what_has_a_piece_for_one_client_in_it_is_not_stored(known: str) -> None:
    """I1: one that could not be followed. The next response will have one too."""
    kit = Kit()
    leader = kit.miss(get())
    assert leader.fetch is not None
    leader.fetch.recording = recording = Recording()
    if known == "with the head":
        recording.lose_piece()
    decided = kit.head(leader)
    assert isinstance(decided, Relayed)
    assert (decided.collector is None) is (known == "with the head")
    if isinstance(decided.collector, Collector):
        recording.lose_piece()
        assert on_complete(kit.engine, decided.collector, b"body", kit.now) is None
    assert kit.events("not_stored") == {"lost-piece": 1}
    assert kit.hit(get()) is None
    assert kit.engine.is_uncacheable(leader.fetch.digest)


@pytest.mark.parametrize("known", ["with the head", "at the end"])
def test_what_was_made_from_an_unknown_value_is_not_stored(known: str) -> None:
    kit = Kit()
    leader = kit.miss(get())
    assert leader.fetch is not None
    leader.fetch.recording = recording = Recording()
    leader.fetch.unknown_lifetime = 0.0
    if known == "with the head":
        recording.add_value(MadeEarlier())
    decided = kit.head(leader)
    assert isinstance(decided, Relayed)
    if isinstance(decided.collector, Collector):
        recording.add_value(MadeEarlier())
        assert on_complete(kit.engine, decided.collector, b"body", kit.now) is None
    assert kit.events("not_stored") == {"unknown-value": 1}
    assert kit.hit(get()) is None
    assert kit.engine.is_uncacheable(leader.fetch.digest), "nobody waits for the next one"


@pytest.mark.parametrize("limit", [0.5, 1.0, 5.0])
def test_what_was_made_from_an_unknown_value_may_live_shorter(limit: float) -> None:
    kit = Kit({**ROUTE, "ttl": "60s", "stale_while_revalidate": "1h", "stale_if_error": "1h"})
    leader = kit.miss(get())
    assert leader.fetch is not None
    leader.fetch.recording = recording = Recording()
    leader.fetch.unknown_lifetime = limit
    recording.add_value(MadeEarlier())
    kit.keep(leader, b"body")
    entry = kit.hit(get())
    assert entry is not None
    ends = {entry.fresh_until, entry.stale_until, entry.stale_error_until, entry.dies_at}
    assert ends == {entry.born + limit}


@pytest.mark.parametrize("older", [True, False])
def test_nobody_waits_for_what_is_made_from_an_old_value(older: bool) -> None:
    kit = Kit()
    began = kit.engine.floors.current_position()
    kit.cache.purge(tags=["a"])
    leader = kit.miss(get())
    assert leader.fetch is not None
    leader.fetch.recording = recording = Recording()
    recording.add(("a",))
    if older:
        recording.read_at(began)
    else:
        kit.cache.purge(tags=["a"])
    decided = kit.head(leader)
    assert isinstance(decided, Relayed)
    assert decided.collector is None
    assert kit.events("not_stored") == {"overtaken": 1}
    # The value stays in the application's cache, and the next response is too old again.
    assert kit.engine.is_uncacheable(leader.fetch.digest) is older


@pytest.mark.parametrize("collected", [True, False])
def test_what_is_spoilt_is_not_stored_whatever_it_will_be_and_another_leads(
    collected: bool,
) -> None:
    """I7: it says nothing about the next response. The first reason stays, and is counted once."""
    kit = Kit()
    leader, follower = kit.miss(get()), follow(kit, get())
    assert leader.fetch is not None
    for reason in ("incomplete", "body"):
        spoil(kit.engine, leader.fetch, reason, collected=collected)
    assert kit.events("not_stored") == ({"incomplete": 1} if collected else {})
    assert follower.waiter.result is not None
    assert follower.waiter.result.outcome is WaitResult.PROMOTED
    decided = kit.head(leader)
    assert isinstance(decided, Relayed)
    assert decided.collector is None
    assert kit.events("not_stored") == {"incomplete": 2 if collected else 1}
    assert not leader.fetch.uncacheable
    assert not kit.engine.is_uncacheable(leader.fetch.digest)


def test_a_response_whose_client_left_is_counted_and_another_leads() -> None:
    """I7."""
    kit = Kit()
    leader, follower = kit.miss(get()), follow(kit, get())
    decided = kit.head(leader)
    assert isinstance(decided, Relayed)
    assert isinstance(decided.collector, Collector)
    broke_off(kit.engine, decided.collector)
    assert kit.events("not_stored") == {"incomplete": 1}
    assert follower.waiter.result is not None
    assert follower.waiter.result.outcome is WaitResult.PROMOTED
    assert kit.hit(get()) is None
    assert not kit.engine.is_uncacheable(decided.collector.fetch.digest)


# What is stored -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "length"), [(200, True), (204, False), (303, True), (305, True), (404, True)]
)
def test_every_answer_that_may_have_a_body_is_given_its_length(status: int, length: bool) -> None:
    """RFC 9110 8.6: never a 204. Only a 200 is given an entity tag."""
    kit = Kit({**ROUTE, "ttl": "response"})
    stated = (b"cache-control", b"max-age=60")
    entry = kit.keep(kit.miss(get()), b"12345" if length else b"", stated, status=status)
    assert dict(entry.headers).get(b"content-length") == (b"5" if length else None)
    assert (b"etag" in names(entry.headers)) is (status == 200)


def test_two_codings_of_one_body_have_two_entity_tags() -> None:
    """RFC 9110 8.8.3.3: a strong entity tag names the coded bytes."""
    tags = set()
    for number, fields in enumerate(([], [(b"content-encoding", b"gzip")])):
        entry = Kit().fill(get(f"/products/{number}"), b"body", *fields)
        tags.add(dict(entry.headers)[b"etag"])
    assert len(tags) == 2


def test_a_response_that_is_stored_is_counted_once() -> None:
    kit = Kit()
    kit.fill(get("/products/1", (b"accept", b"x")), b"body", (b"vary", b"Accept"))
    assert kit.events("stored") == {"": 1}


def test_what_could_be_stored_is_queued_for_again_at_once() -> None:
    """Not only when the mark, that the last response could not be stored, is forgotten in time."""
    kit = Kit()
    kit.head(kit.miss(get()), 200, (b"cache-control", b"no-store"))
    assert kit.miss(get()).outcome is Outcome.HIT_FOR_MISS
    kit.fill(get())
    kit.cache.purge(tags=["product:1"])
    assert kit.miss(get()).outcome is Outcome.MISS


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        pytest.param([], WaitResult.COMPLETED, id="fresh"),
        pytest.param(
            [(b"cache-control", b"no-cache"), ETAG],
            WaitResult.RELEASED,
            id="9111 5.2.2.4 validated at every use",
        ),
        pytest.param([(b"cache-control", b"no-store")], WaitResult.RELEASED, id="not stored"),
    ],
)
def test_who_waits_is_given_what_is_fresh_and_otherwise_asks_for_itself(
    fields: list[Field], result: WaitResult
) -> None:
    kit = Kit()
    leader = kit.miss(get())
    follower = follow(kit, get())
    decided = kit.head(leader, 200, *fields)
    assert isinstance(decided, Relayed)
    if isinstance(decided.collector, Collector):
        on_complete(kit.engine, decided.collector, b"body", kit.now)
    assert follower.waiter.result is not None
    assert follower.waiter.result.outcome is result
    assert kit.open_flights == 0


def test_the_oldest_variant_of_a_url_leaves_memory_for_the_newest() -> None:
    """I4. What does not vary counts as no variant."""
    kit = Kit({**ROUTE, "max_variants": 1})
    vary = (b"vary", b"Accept-Language")
    plain = [kit.fill(get(f"/products/{number}")) for number in (2, 3)]
    old = kit.fill(get("/products/1", (b"accept-language", b"de")), b"x", vary)
    assert kit.events("variants_dropped") == {}
    new = kit.fill(get("/products/1", (b"accept-language", b"fr")), b"x", vary)
    assert kit.events("variants_dropped") == {"": 1}
    assert kit.engine.memory.get(old.key) is None
    assert all(kit.engine.memory.get(entry.key) is entry for entry in [*plain, new])
    assert len(kit.engine.variants._counts) == 1
