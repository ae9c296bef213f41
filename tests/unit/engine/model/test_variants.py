"""Several answers under one URL: kept apart, found again, and not without end."""

from __future__ import annotations

import pytest

from cachemw.engine.keeping.storing import on_complete
from cachemw.engine.model.entry import Entry, VaryMarker
from cachemw.http.messages import Request
from tests.support.engine import ROUTE, Kit, follow, forwarded, get, served

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
    for number in range(200):
        kit.fill(get(*agent(f"agent {number}")), b"%d" % number, VARY)
    assert kept(kit, 200) == list(range(195, 200)), "the newest are kept"
    assert all(kit.engine.memory.get(entry.key) is entry for entry in others)
    assert kit.events("variants_dropped") == {"": 195}


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
