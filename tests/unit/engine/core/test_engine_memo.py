"""The memo of targets takes no more than it may, whatever clients send."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from cachemw.engine.core import memo as memo_module
from cachemw.engine.model.plan import weigh
from tests.support.engine import Kit, get, served, step, target

Make = Callable[[Kit, int], object]
LIMIT = 1 << 20


def anew(value: bytes) -> bytes:
    """Copy a value, as a server makes one of its own for each request."""
    return bytes(bytearray(value))


def plain(kit: Kit, number: int) -> object:
    return kit.asked(get(f"/products/{number}")).plan


def long(kit: Kit, number: int) -> object:
    return kit.asked(get(f"/products/{number}", query=anew(b"q=%d" % number + b"y" * 4000))).plan


def hosts(kit: Kit, number: int) -> object:
    value = anew(b"h%d" % number + b"z" * 1000)
    return kit.asked(get(f"/products/{number // 50}", (b"x-forwarded-host", value))).plan


def agents(kit: Kit, number: int) -> object:
    plan = kit.asked(get(f"/products/{number // 50}")).plan
    return kit.engine.variants.key_of(plan, ((b"user-agent", anew(b"%d" % number + b"z" * 1000)),))


@pytest.mark.parametrize(
    "make",
    [plain, *(pytest.param(each, marks=pytest.mark.thorough) for each in (long, hosts)), agents],
)
def test_two_generations_are_all_that_is_kept(make: Make) -> None:
    """I4. Each fails where what it adds has no weight."""
    kit = Kit()
    kit.engine.memo.limit = LIMIT
    make(kit, 10**6)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(6_000):
            make(kit, number)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2.2 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [plain, long, hosts, agents])
def test_the_weight_is_what_a_plan_takes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo_module, "_MEMO_SIZE", 10**6)
    kit = Kit()
    kit.engine.memo.limit = 1 << 40
    make(kit, 10**6)
    gc.collect()
    before = kit.engine.memo.weight
    tracemalloc.start()
    try:
        for number in range(2_000):
            make(kit, number)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kit.engine.memo.weight - before == pytest.approx(used, rel=0.25)
    assert sum(map(weigh, kit.engine.memo.young.values())) == pytest.approx(used, rel=0.25)


def test_a_target_too_long_for_the_memo_is_answered_all_the_same() -> None:
    """Fails without `_HEAVY`: one target would turn out all others."""
    kit = Kit()
    kit.engine.memo.limit = LIMIT
    request = get("/products/1", query=b"q=" + b"y" * LIMIT)
    entry = kit.fill(request)
    assert kit.engine.memo.known(target(request)) is None
    assert kit.hit(request) is None
    assert served(step(kit.flow(request))).entry is entry
