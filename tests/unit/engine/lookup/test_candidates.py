"""Candidates: what may be done with a stored entry, to the second, for this client and its wishes."""

from __future__ import annotations

import pytest

from cachemw.engine.lookup.candidates import (
    NOTHING,
    Candidate,
    candidate,
    in_memory,
    in_shared,
    usable_on_error,
)
from cachemw.engine.model.entry import Entry, VaryMarker
from cachemw.engine.model.holes import Filling, Hole
from cachemw.engine.model.outcomes import Outcome
from cachemw.http.fields import Fields
from cachemw.http.messages import Request
from cachemw.http.vary import varies_on
from tests.support.engine import (
    GRACE,
    Field,
    Kit,
    forwarded,
    get,
    lookup,
    marker_of,
    step,
)

HONOURS = {**GRACE, "client_directives": "honour"}
FRESH, STALE, FALLBACK, NONE = "fresh", "stale", "fallback", "nothing"


def judged(kit: Kit, entry: Entry, request: Request | None = None) -> str:
    """Say what may be done with an entry now."""
    asked = kit.asked(request or get())
    found = candidate(kit.engine, asked, entry, kit.now, Outcome.HIT_MEMORY, Outcome.STALE_MEMORY)
    if found is NOTHING:
        return NONE
    if found.servable is None:
        assert found.fallback is entry
        return FALLBACK
    assert found.fallback is None
    assert found.servable.entry is entry
    return FRESH if found.servable.outcome is Outcome.HIT_MEMORY else STALE


def asking(directives: bytes) -> Request:
    return get("/products/1", (b"cache-control", directives))


# The times of an entry ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "use"),
    [
        (0.0, FRESH),
        (59.9, FRESH),
        (60.0, STALE),
        (69.9, STALE),
        (70.0, FALLBACK),
        (159.9, FALLBACK),
        (160.0, NONE),
    ],
)
def test_each_use_ends_at_its_second(age: float, use: str) -> None:
    """RFC 9111 4.2, RFC 5861 3 and 4: a window of n seconds is over after n seconds."""
    kit = Kit(GRACE)
    entry = kit.fill(get())
    kit.clock.advance(age)
    assert judged(kit, entry) == use
    assert (kit.engine.memory.get(entry.key) is entry) is (use != NONE), "what is of no use goes"


def test_an_entry_that_is_used_is_noted_as_used() -> None:
    """The memory tier keeps what was used."""
    kit = Kit(GRACE)
    entry = kit.fill(get())
    entry.visited = False
    judged(kit, entry)
    assert entry.visited


@pytest.mark.parametrize(
    ("after_fresh", "age", "usable"),
    [
        (100.0, 0.0, True),
        (100.0, 159.9, True),
        (100.0, 160.0, False),
        (0.0, 0.0, False),
        (0.0, 60.0, False),
    ],
)
def test_an_entry_stands_in_for_an_error_within_its_window(
    after_fresh: float, age: float, usable: bool
) -> None:
    """RFC 5861 4. Without a window it stands in for nothing, even if it was purged while fresh."""
    kit = Kit()
    entry = kit.entry(kit.asked(get()).key, stale_error_until=kit.now + 60 + after_fresh)
    assert usable_on_error(entry, kit.now + age) is usable


@pytest.mark.parametrize(
    ("window", "use"), [({"stale_until": 70.0}, STALE), ({"stale_error_until": 160.0}, FALLBACK)]
)
def test_a_softly_purged_entry_has_the_windows_that_it_had(
    window: dict[str, float], use: str
) -> None:
    kit = Kit()
    ends = {name: kit.now + seconds for name, seconds in window.items()}
    entry = kit.entry(kit.asked(get()).key, **ends)
    assert judged(kit, entry) == FRESH
    kit.cache.purge(tags=["product:1"], soft=True)
    assert judged(kit, entry) == use


# What a client asks for ---------------------------------------------------------------------------

ASKED = [
    pytest.param(10, b"max-age=100", FRESH, id="9111 5.2.1.1 it is young enough"),
    pytest.param(10, b"max-age=10", FRESH, id="9111 5.2.1.1 just young enough"),
    pytest.param(10, b"max-age=9", FALLBACK, id="9111 5.2.1.1 too old"),
    pytest.param(10, b"min-fresh=50", FRESH, id="9111 5.2.1.3 just fresh enough"),
    pytest.param(10, b"min-fresh=51", FALLBACK, id="9111 5.2.1.3 not for so long"),
    pytest.param(10, b"no-cache", FALLBACK, id="9111 5.2.1.4 it must be validated"),
    pytest.param(10, b"max-stale=100", FRESH, id="9111 5.2.1.2 a fresh one is not stale"),
    pytest.param(65, b"max-age=100", STALE, id="5861 3 within the window, and young enough"),
    pytest.param(65, b"max-age=64", FALLBACK, id="5861 3 within the window, but too old"),
    pytest.param(80, b"max-age=100", FALLBACK, id="5861 3 past the window"),
    pytest.param(80, b"max-stale=20", STALE, id="9111 5.2.1.2 just not too stale"),
    pytest.param(80, b"max-stale=19", FALLBACK, id="9111 5.2.1.2 too stale"),
    pytest.param(80, b"max-stale", STALE, id="9111 5.2.1.2 however stale"),
]


@pytest.mark.parametrize(("age", "directives", "use"), ASKED)
def test_a_client_that_is_honoured_gets_what_it_asks_for(
    age: float, directives: bytes, use: str
) -> None:
    kit = Kit(HONOURS)
    entry = kit.fill(get())
    kit.clock.advance(age)
    assert judged(kit, entry, asking(directives)) == use


def test_max_stale_counts_from_the_second_in_which_it_became_stale() -> None:
    """RFC 9111 5.2.1.2, where the response has no window of its own."""
    kit = Kit({**HONOURS, "stale_while_revalidate": "0s"})
    entry = kit.fill(get())
    kit.clock.advance(60)
    assert judged(kit, entry, asking(b"max-stale=0")) == STALE
    assert judged(kit, entry) == FALLBACK


def test_an_immutable_response_is_not_validated_on_a_reload() -> None:
    """RFC 8246 2: not while it is fresh."""
    kit = Kit(HONOURS)
    entry = kit.fill(get(), b"x", (b"cache-control", b"max-age=60, immutable"))
    kit.clock.advance(10)
    assert judged(kit, entry, asking(b"max-age=0")) == FRESH
    kit.clock.advance(55)
    assert judged(kit, entry, asking(b"max-age=0")) == FALLBACK


@pytest.mark.parametrize(
    ("said", "use"),
    [
        (b"max-age=60", STALE),
        (b"max-age=60, must-revalidate", FALLBACK),
        (b"no-cache", FALLBACK),
        (b"max-age=60, proxy-revalidate", FALLBACK),
    ],
)
def test_no_client_gets_a_stale_response_that_forbids_it(said: bytes, use: str) -> None:
    """RFC 9111 4.2.4, 5.2.2.4."""
    kit = Kit(HONOURS)
    key = kit.asked(get()).key
    over = {"fresh_until": kit.now - 5, "stale_until": kit.now - 5, "dies_at": kit.now + 60}
    entry = kit.entry(key, headers=((b"cache-control", said),), **over)
    assert judged(kit, entry, asking(b"max-stale")) == use


def test_max_stale_does_not_undo_a_soft_purge() -> None:
    """`max-stale` speaks of the time since the entry became stale, and this one never did."""
    kit = Kit({**HONOURS, "stale_while_revalidate": "0s"})
    entry = kit.fill(get())
    kit.cache.purge(tags=["product:1"], soft=True)
    assert judged(kit, entry, asking(b"max-stale=1000")) == FALLBACK


@pytest.mark.parametrize(("known", "use"), [(["a"], NONE), (["a", "b"], FRESH)])
def test_an_entry_with_a_hole_that_nobody_here_can_fill_does_not_exist(
    known: list[str], use: str
) -> None:
    """I2: the process that stored it may know more."""
    kit = Kit()
    kit.engine.fills = {name: lambda request: Filling(text=lambda: b"") for name in known}
    entry = kit.entry(kit.asked(get()).key, holes=(Hole(0, "a"), Hole(1, "b")))
    assert judged(kit, entry) == use


# For whom -----------------------------------------------------------------------------------------

COOKIE, TOKEN = (b"cookie", b"sid=1"), (b"authorization", b"x")
STATED = (b"cache-control", b"max-age=60")
PUBLIC = (b"cache-control", b"public, max-age=60")
SHARED = (b"cache-control", b"s-maxage=60")
MUST = (b"cache-control", b"must-revalidate")
BY_COOKIE = (b"vary", b"Cookie")
BY_LANGUAGE = (b"vary", b"Accept-Language")

FOR_WHOM = [
    pytest.param([COOKIE], [STATED, BY_COOKIE], True, id="9111 4.1 selected by its cookies"),
    pytest.param([COOKIE], [STATED, BY_LANGUAGE], False, id="selected by something else"),
    pytest.param([COOKIE], [STATED], False, id="made for somebody's cookies, or for nobody's"),
    pytest.param([COOKIE], [PUBLIC], True, id="9111 5.2.2.9 public"),
    pytest.param([COOKIE], [SHARED], False, id="s-maxage is for authorization alone"),
    pytest.param([TOKEN], [PUBLIC], True, id="9111 3.5 public"),
    pytest.param([TOKEN], [SHARED], True, id="9111 3.5 s-maxage"),
    pytest.param([TOKEN], [MUST], True, id="9111 3.5 must-revalidate"),
    pytest.param([TOKEN], [STATED, BY_COOKIE], False, id="9111 3.5 no word of sharing"),
    pytest.param([COOKIE, TOKEN], [SHARED], False, id="both: s-maxage is for one of them"),
    pytest.param([COOKIE, TOKEN], [SHARED, BY_COOKIE], True, id="both: each has its leave"),
    pytest.param([COOKIE, TOKEN], [STATED, BY_COOKIE], False, id="both: one has none"),
    pytest.param([COOKIE, TOKEN], [PUBLIC], True, id="both: public"),
]


@pytest.mark.parametrize(("sent", "said", "given"), FOR_WHOM)
def test_an_entry_goes_only_to_whom_it_is_for(
    sent: list[Field], said: list[Field], given: bool
) -> None:
    """I1. The cookie of the asking client has selected the entry already, by its key."""
    kit = Kit()
    request = get("/products/1", *sent)
    asked = kit.asked(request)
    names = varies_on(Fields(said))
    assert names is not None
    selecting = kit.engine.variants.values(names, asked.headers)
    entry = kit.entry(asked.key, headers=tuple(said), vary=selecting)
    assert judged(kit, entry, request) == (FRESH if given else NONE)
    assert judged(kit, entry) == FRESH, "for whom nothing is known of, it is"


# Markers ------------------------------------------------------------------------------------------


def stored_marker(kit: Kit) -> VaryMarker:
    """Store a response that varies; return its marker in memory."""
    kit.fill(get("/products/1", (b"accept-language", b"de")), b"x", (b"vary", b"Accept-Language"))
    marker = kit.engine.memory.get(kit.asked(get()).plan.key.digest)
    assert isinstance(marker, VaryMarker)
    return marker


def looked_up(kit: Kit, *fields: Field) -> tuple[Candidate, bool]:
    """Look in memory; return what was found, and whether a marker was followed."""
    asked = kit.asked(get("/products/1", *fields))
    found = in_memory(kit.engine, asked, kit.now)
    return found, asked.key != asked.plan.key


def test_a_marker_in_memory_is_followed_and_noted_as_used() -> None:
    kit = Kit()
    marker = stored_marker(kit)
    marker.visited = False
    found, followed = looked_up(kit, (b"accept-language", b"fr"))
    assert followed
    assert (found.varies, found.servable, found.fallback) == (True, None, None)
    assert marker.visited, "without it none of its variants is found"
    assert looked_up(kit, (b"accept-language", b"de"))[0].servable is not None


def test_a_purged_marker_is_dropped_and_not_followed() -> None:
    """I5: another release of the page may vary on other headers."""
    kit = Kit()
    marker = stored_marker(kit)
    kit.cache.purge(tags=["product:1"])
    assert kit.engine.memory.get(marker.key) is marker
    assert looked_up(kit, (b"accept-language", b"de")) == (NOTHING, False)
    assert kit.engine.memory.get(marker.key) is None


@pytest.mark.parametrize(("age", "followed"), [(59.9, True), (60.0, False)])
def test_a_marker_that_is_over_is_dropped_and_not_followed(age: float, followed: bool) -> None:
    kit = Kit()
    marker = stored_marker(kit)
    kit.clock.advance(age)
    assert looked_up(kit, (b"accept-language", b"fr"))[1] is followed
    assert (kit.engine.memory.get(marker.key) is marker) is followed


def test_a_softly_purged_marker_is_followed() -> None:
    """Its variants may be served while they are refreshed."""
    kit = Kit(GRACE)
    stored_marker(kit)
    kit.cache.purge(tags=["product:1"], soft=True)
    found, followed = looked_up(kit, (b"accept-language", b"de"))
    assert followed
    assert found.servable is not None
    assert found.servable.outcome is Outcome.STALE_MEMORY


def test_a_purged_entry_leaves_memory_when_it_is_found() -> None:
    kit = Kit()
    entry = kit.fill(get())
    kit.cache.purge(tags=["product:1"])
    assert kit.engine.memory.get(entry.key) is entry
    assert looked_up(kit) == (NOTHING, False)
    assert kit.engine.memory.get(entry.key) is None


def test_a_marker_in_the_shared_store_is_followed_and_put_into_memory() -> None:
    kit = Kit()
    request = get("/products/1", (b"accept-language", b"de"))
    asked = kit.asked(request)
    marker = marker_of(kit, asked.key)
    variant = kit.engine.variants.key_for(asked.plan, marker, request.headers)
    entry = kit.entry(variant, vary=((b"accept-language", b"de"),))
    flow = in_shared(kit.engine, asked, kit.now)
    assert lookup(next(flow)).key.digest == marker.key
    assert lookup(flow.send((marker, kit.now))).key == asked.key == variant
    assert kit.engine.memory.get(marker.key) is marker
    with pytest.raises(StopIteration) as stopped:
        flow.send((entry, kit.now + 1))
    found, now = stopped.value.value
    assert found.servable.entry is entry
    assert now == kit.now + 1
    assert kit.engine.memory.get(entry.key) is entry


def test_a_purged_marker_in_the_shared_store_is_not_followed() -> None:
    """I5: nor put into memory."""
    kit = Kit()
    asked = kit.asked(get())
    marker = marker_of(kit, asked.key)
    kit.cache.purge(tags=["product:1"])
    flow = in_shared(kit.engine, asked, kit.now)
    next(flow)
    with pytest.raises(StopIteration) as stopped:
        flow.send((marker, kit.now + 1))
    assert stopped.value.value == (NOTHING, kit.now + 1)
    assert kit.engine.memory.get(marker.key) is None


@pytest.mark.parametrize("tier", ["memory", "shared"])
def test_a_miss_says_that_other_variants_are_stored(tier: str) -> None:
    """RFC 9211 2.2: `vary-miss`."""
    kit = Kit()
    request = get("/products/1", (b"accept-language", b"fr"))
    if tier == "memory":
        stored_marker(kit)
    flow = kit.flow(request)
    effect = lookup(step(flow))
    if tier == "shared":
        effect = lookup(step(flow, (marker_of(kit, effect.key), kit.now)))
    assert forwarded(step(flow, (None, kit.now))).reason == "vary-miss"
