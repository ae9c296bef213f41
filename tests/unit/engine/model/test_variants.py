"""Variants: several responses under one URL are kept apart, found again, and bounded in number."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.engine.keeping.storing import on_complete
from cachemw.engine.model.entry import Entry, VaryMarker
from cachemw.engine.model.variants import VariantCounts, selecting_names, selects_by
from cachemw.http.fields import Fields
from cachemw.http.messages import Request
from tests.support.engine import (
    ROUTE,
    Field,
    Kit,
    follow,
    forwarded,
    get,
    marker_of,
    served,
    step,
)

VARY = (b"vary", b"User-Agent")


def agent(name: str, path: str = "/products/1") -> tuple[str, tuple[bytes, bytes]]:
    return path, (b"user-agent", name.encode())


def kept(kit: Kit, count: int) -> list[int]:
    """Give the numbers of the agents whose variants are in memory."""
    return [number for number in range(count) if kit.hit(get(*agent(f"agent {number}")))]


def test_many_variants_leave_room_for_others() -> None:
    """The guard is `_limit_variants` in keeping/storing."""
    kit = Kit({**ROUTE, "max_variants": 5})
    others = [kit.fill(get(f"/products/{number}")) for number in range(100, 110)]
    for number in range(30):
        kit.fill(get(*agent(f"agent {number}")), b"%d" % number, VARY)
    assert kept(kit, 30) == list(range(25, 30)), "the newest are kept"
    assert all(kit.engine.memory.get(entry.key) is entry for entry in others)
    assert kit.events("variants_dropped") == {"": 25}


def test_a_variant_that_is_kept_anew_is_the_newest() -> None:
    kit = Kit({**ROUTE, "max_variants": 2})
    for number in (0, 1, 0, 2):
        request = get(*agent(f"agent {number}"))
        if kit.hit(request):
            kit.clock.advance(61)
        kit.fill(request, b"x", VARY)
    assert kept(kit, 3) == [0, 2]


def test_each_url_has_a_count_of_its_own() -> None:
    kit = Kit({**ROUTE, "max_variants": 1})
    paths = ("/products/1", "/products/2")
    entries = [kit.fill(get(*agent("one", path)), b"x", VARY) for path in paths]
    assert all(kit.engine.memory.get(entry.key) is entry for entry in entries)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"gzip,  br", b"gzip,br"),
        (b"GZIP", b"gzip"),
        (b"gzip;q=1.0", b"gzip"),
        (b"gzip;q=0.50", b"gzip; q=0.5"),
    ],
)
def test_equal_selecting_values_select_one_variant(first: bytes, second: bytes) -> None:
    """RFC 9111 4.1: what the field's own specification says is the same."""
    kit = Kit()
    vary = (b"vary", b"accept-encoding")
    entry = kit.fill(get("/products/1", (b"accept-encoding", first)), b"x", vary)
    assert kit.hit(get("/products/1", (b"accept-encoding", second))) is entry


# A content coding without Vary --------------------------------------------------------------------

GZIP = (b"content-encoding", b"gzip")


def accepting(coding: bytes | None) -> Request:
    return get("/products/1", *([(b"accept-encoding", coding)] if coding else []))


@pytest.mark.parametrize("route", [ROUTE, {**ROUTE, "ttl": "response"}], ids=["ttl", "response"])
@pytest.mark.parametrize("other", [None, b"identity", b"br"])
def test_a_coded_answer_is_for_those_who_asked_alike(
    route: dict[str, str], other: bytes | None
) -> None:
    """The guard is `varies_on` in http/vary."""
    kit = Kit(route)
    entry = kit.fill(accepting(b"gzip"), b"coded", GZIP, (b"cache-control", b"max-age=60"))
    assert kit.hit(accepting(b"gzip")) is entry
    assert kit.hit(accepting(other)) is None
    assert kit.miss(accepting(other)).reason == "vary-miss"


def test_what_is_stored_of_it_says_so_downstream() -> None:
    kit = Kit()
    forward = kit.miss(accepting(b"gzip"))
    decided = kit.head(forward, 200, GZIP, (b"vary", b"Accept"))
    assert (b"vary", b"Accept, Accept-Encoding") in decided.answer.headers  # type: ignore[union-attr]
    entry = kit.fill(get("/products/2", (b"accept-encoding", b"gzip")), b"coded", GZIP)
    assert dict(entry.headers)[b"vary"] == b"Accept-Encoding"


def test_an_answer_that_is_not_stored_goes_out_as_it_came() -> None:
    kit = Kit()
    decided = kit.head(kit.miss(accepting(b"gzip")), 500, GZIP)
    assert b"vary" not in dict(decided.answer.headers)  # type: ignore[union-attr]


@pytest.mark.parametrize("first", [b"gzip", None])
def test_both_answers_are_found_whichever_came_first(first: bytes | None) -> None:
    """The guard is `known` in `selecting_names`: without it, the plain one replaces the marker."""
    kit = Kit()

    def answer(coding: bytes | None) -> Entry:
        return kit.fill(accepting(coding), coding or b"plain", *([GZIP] if coding else []))

    answer(first)
    if first is None:  # the plain answer is for everybody, until it is stale
        assert kit.hit(accepting(b"gzip")) is not None
        kit.clock.advance(61)
        answer(b"gzip")
    plain = answer(None)
    coded = kit.hit(accepting(b"gzip"))
    assert coded is not None
    assert coded.body == b"gzip"
    assert kit.hit(accepting(None)) is plain
    assert isinstance(kit.engine.memory.get(kit.asked(get()).plan.key.digest), VaryMarker)


def test_a_follower_who_cannot_read_the_coding_asks_itself() -> None:
    """The guard is that the entry carries what selected it; see `Variants.matches`."""
    kit = Kit(has_shared=False)
    forward = kit.miss(accepting(b"gzip"))
    alike, other = follow(kit, accepting(b"gzip")), follow(kit, accepting(None))
    kit.keep(forward, b"coded", GZIP)
    assert served(alike.wake(kit.now)).entry.body == b"coded"
    assert forwarded(other.wake(kit.now))


def test_the_shared_store_gets_the_marker_too() -> None:
    kit = Kit()
    decided = kit.head(kit.miss(accepting(b"gzip")), 200, GZIP)
    write = on_complete(kit.engine, decided.collector, b"coded", kit.now)  # type: ignore[union-attr,arg-type]
    assert write is not None
    (_, marker), (_, entry) = write.entries
    assert isinstance(marker, VaryMarker)
    assert marker.names == (b"accept-encoding",)
    assert isinstance(entry, Entry)
    assert entry.vary == ((b"accept-encoding", b"gzip"),)


def test_a_purge_reaches_both() -> None:
    kit = Kit()
    kit.fill(accepting(b"gzip"), b"coded", GZIP)
    kit.fill(accepting(None), b"plain")
    kit.cache.purge(tags=["product:1"])
    assert kit.hit(accepting(b"gzip")) is None
    assert kit.hit(accepting(None)) is None


def test_a_route_that_keys_by_the_header_needs_no_variants() -> None:
    kit = Kit({**ROUTE, "vary": ["Accept-Encoding"]})
    entry = kit.fill(accepting(b"gzip"), b"coded", GZIP)
    assert entry.vary == ()
    assert kit.hit(accepting(b"gzip")) is entry
    assert kit.hit(accepting(None)) is None


def test_an_absent_secret_is_a_value_of_its_own() -> None:
    """Only a value can be concealed: without a cookie there is none."""
    kit = Kit()
    entry = kit.fill(get(), b"for nobody", (b"vary", b"Cookie"))
    assert entry.vary == ((b"cookie", None),)


def test_an_entry_is_matched_by_every_value_that_selects_it() -> None:
    kit = Kit()
    german, french = (b"accept-language", b"de"), (b"accept-language", b"fr")
    plain, gzip = (b"accept", b"*/*"), (b"accept-encoding", b"gzip")
    vary = (b"vary", b"Accept-Language, Accept-Encoding")
    entry = kit.fill(get("/products/1", german, gzip), b"x", vary)
    expected: list[tuple[list[Field], bool]] = [
        ([german, gzip], True),
        ([gzip, plain, german], True),
        ([german], False),
        ([french, gzip], False),
        ([], False),
    ]
    for fields, matched in expected:
        headers = get("/products/1", *fields).headers
        assert kit.engine.variants.matches(entry, headers) is matched, fields


def test_an_entry_that_does_not_vary_matches_every_request() -> None:
    kit = Kit()
    entry = kit.fill(get())
    assert kit.engine.variants.matches(entry, get("/products/1", (b"accept", b"*/*")).headers)


def test_an_entry_is_selected_by_the_headers_that_its_vary_names() -> None:
    kit = Kit()
    entry = kit.fill(get(), b"x", (b"vary", b"Accept-Language, Cookie"))
    assert selects_by(entry, b"cookie")
    assert selects_by(entry, b"accept-language")
    assert not selects_by(entry, b"authorization")
    assert not selects_by(kit.fill(get("/products/2")), b"cookie")


SELECTING: list[Any] = [
    pytest.param({}, b"Accept", [], (b"accept",), id="a header that no key holds"),
    pytest.param({}, b"Origin, Host, Accept", [], (b"accept",), id="headers in every key"),
    pytest.param({"vary": ["X-A"]}, b"X-A, X-B", [], (b"x-b",), id="one that the route declares"),
    pytest.param({}, b"Cookie", [], (b"cookie",), id="cookies"),
    pytest.param({"cookies": []}, b"Cookie, Origin, X-A", [], (b"x-a",), id="a list of cookies"),
    pytest.param({"personal_cookies": ["s"]}, b"Cookie", [], (), id="a list of personal cookies"),
    pytest.param({"keyed_cookies": ["a"]}, b"Cookie", [], (b"cookie",), id="one keyed cookie"),
    pytest.param({}, b"", [b"accept-encoding"], (b"accept-encoding",), id="others are coded"),
    pytest.param(
        {},
        b"Accept",
        [b"accept-encoding"],
        (b"accept", b"accept-encoding"),
        id="others are coded, and it varies",
    ),
    pytest.param({}, b"", [b"accept-language"], (), id="others vary on something else"),
]


@pytest.mark.parametrize(("options", "vary", "known", "names"), SELECTING)
def test_what_the_key_does_not_hold_selects_a_response(
    options: dict[str, Any], vary: bytes, known: list[bytes], names: tuple[bytes, ...]
) -> None:
    kit = Kit({**ROUTE, **options})
    marker = replace(marker_of(kit, kit.asked(get()).key), names=tuple(known)) if known else None
    response = Fields([(b"vary", vary)])
    assert selecting_names(kit.engine.routes[0], response, marker) == names


# The fast path ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"cookie", b"authorization", b"x-forwarded-for", b"if-none-match"], ids=bytes.decode
)
def test_the_fast_path_does_not_read_what_the_application_sees_otherwise(name: bytes) -> None:
    """I1: these are concealed, or removed before the application sees them, so the flow selects."""
    kit = Kit()
    request = get("/products/1", (name, b"x"))
    plan = kit.asked(get()).plan
    marker = marker_of(kit, plan.key)
    for names in ((name,), (b"accept", name)):
        values = tuple((each, request.headers.first(each)) for each in names)
        kit.engine.variants.key_of(plan, values)  # as if the raw values were the application's
        found = kit.engine.variants.known_key(
            plan, replace(marker, names=names), request.headers.pairs
        )
        assert found is None


def test_the_fast_path_finds_a_variant_by_all_other_headers() -> None:
    kit = Kit()
    request = get("/products/1", (b"accept-language", b"de"), (b"origin-hint", b"x"))
    plan = kit.asked(get()).plan
    key = kit.engine.variants.key_of(plan, ((b"accept-language", b"de"),))
    known_key, marker = kit.engine.variants.known_key, marker_of(kit, plan.key)
    assert known_key(plan, marker, request.headers.pairs) is key
    assert known_key(plan, marker, get().headers.pairs) is None


def test_a_plan_that_remembers_no_variant_leaves_it_to_the_flow() -> None:
    kit = Kit()
    request = get(*agent("one"))
    entry = kit.fill(request, b"x", VARY)
    plan = kit.asked(request).plan
    assert kit.hit(request) is entry
    plan.variants = None  # as when the memo of targets was full
    assert kit.hit(request) is None
    assert served(step(kit.flow(request))).entry is entry
    assert kit.hit(request) is entry, "the flow has made the key again"


def test_the_variants_that_a_plan_remembers_are_bounded() -> None:
    """I4: `Vary: User-Agent` with any number of agents. The 65th begins anew."""
    kit = Kit()
    plan = kit.asked(get()).plan
    sizes = []
    keys = set()
    for number in range(130):
        keys.add(kit.engine.variants.key_of(plan, ((b"user-agent", b"%d" % number),)).digest)
        assert plan.variants is not None
        sizes.append(len(plan.variants))
    assert sizes == [*range(1, 65), *range(1, 65), 1, 2]
    assert len(keys) == 130


# The count over all targets -----------------------------------------------------------------------


def test_the_count_of_variants_is_bounded_over_all_targets() -> None:
    """I4."""
    variants = VariantCounts(100)
    assert len(variants) == 0
    for number in range(1_000):
        assert variants.note(b"t%d" % (number // 10), b"v%d" % number, 64) is None
        assert len(variants) == (number + 1 if number < 100 else 91 + number % 10)
    assert [variants.note(b"t99", b"new %d" % n, 10) for n in range(2)] == [b"v990", b"v991"]
    assert variants.note(b"t0", b"v0", 1) is None, "what is forgotten begins anew"


def test_the_target_that_stored_nothing_for_longest_is_forgotten() -> None:
    variants = VariantCounts(2)
    for target in (b"often", b"once", b"often", b"new"):
        variants.note(target, b"first", 8)
    assert variants.note(b"often", b"second", 1) == b"first"
    variants = VariantCounts(2)
    for target in (b"often", b"once", b"often", b"new"):
        variants.note(target, b"first", 8)
    assert variants.note(b"once", b"second", 1) is None


def test_a_child_of_a_fork_stores_variants_though_a_thread_of_the_parent_held_the_lock() -> None:
    # Guard: `VariantCounts.reset_after_fork`.
    kit = Kit()
    kit.engine.variants._counts._lock.acquire()
    kit.engine.reset_after_fork()
    assert not kit.engine.variants._counts._lock.locked()
    kit.fill(get(*agent("one")), b"x", VARY)
