"""Several answers under one URL: kept apart, found again, and not without end."""

from __future__ import annotations

import pytest

from tests.support.engine import ROUTE, Kit, get

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
