"""The memory tier: never over its cap, SIEVE's choice of what goes, honest bytes, threads."""

from __future__ import annotations

import gc
import random
import threading
import tracemalloc
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cachemw.engine.model.entry import Entry, Learned, Position
from cachemw.process.memory_limit import MemoryLimit
from cachemw.stores.memory import interning
from cachemw.stores.memory.cost import cost
from cachemw.stores.memory.eviction import Doorkeeper
from cachemw.stores.memory.interning import intern_pairs
from cachemw.stores.memory.pressure import PressureChange, PressureLevel
from cachemw.stores.memory.tier import MemoryTier
from cachemw.testing import FakeClock
from tests.support.entries import make_entry
from tests.support.examples import examples

MIB = 1 << 20
POSITION = Position(b"epoch-01", 1 << 80)


def key_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def make(number: int, size: int = 100, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "key": key_of(number),
        "status": 200,
        "headers": (),
        "body": bytes(size),
        "route": "products",
        "born": 0.0,
        "fresh_until": 1e9,
        "stale_until": 1e9,
        "stale_error_until": 1e9,
        "position": POSITION,
    }
    fields |= changes
    return make_entry(**fields)


def tier_of(count: int) -> MemoryTier:
    """Return a tier that holds exactly `count` entries of the usual size."""
    return MemoryTier(count * cost(make(0)))


def held(tier: MemoryTier) -> set[int]:
    return {int.from_bytes(entry.key, "big") for entry in tier.entries()}


# The plain contract -------------------------------------------------------------------------------


def test_what_is_put_is_got_and_nothing_is_copied() -> None:
    tier = MemoryTier(MIB)
    entry = make(1)
    assert tier.get(entry.key) is None
    assert tier.put(entry)
    assert tier.get(entry.key) is entry
    assert (len(tier), tier.size, tier.max_size) == (1, cost(entry), MIB)


def test_a_lookup_marks_nothing() -> None:
    tier = MemoryTier(MIB)
    entry = make(1)
    tier.put(entry)
    tier.get(entry.key)
    assert not entry.visited


def test_a_new_entry_starts_unvisited_though_it_was_served_before_it_was_put() -> None:
    entry = make(1)
    entry.visited = True
    MemoryTier(MIB).put(entry)
    assert not entry.visited


def test_a_newer_entry_takes_the_older_ones_place() -> None:
    tier = MemoryTier(MIB)
    tier.put(make(1, 5000))
    newer = make(1, 10)
    tier.put(newer)
    assert tier.get(newer.key) is newer
    assert (len(tier), tier.size, tier.evictions) == (1, cost(newer), 0)


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_what_would_fill_an_eighth_is_refused_and_takes_the_older_with_it(size: int) -> None:
    tier = MemoryTier(8 * cost(make(1, size)) - 1)
    assert not tier.put(make(1, size))
    assert len(tier) == 0
    if size:
        assert tier.put(make(1, size // 2))
        assert not tier.put(make(1, size))
        assert (len(tier), tier.size) == (0, 0)


def test_a_tier_of_no_size_keeps_nothing() -> None:
    assert not MemoryTier(0).put(make(1, 0))


def test_discarding() -> None:
    tier = MemoryTier(MIB)
    old, new = make(1), make(1)
    tier.put(old)
    tier.put(new)
    tier.discard_if(new.key, old)
    assert tier.get(new.key) is new
    tier.discard_if(new.key, new)
    assert tier.get(new.key) is None
    tier.discard_if(new.key, new)
    tier.discard(new.key)
    tier.put(new)
    tier.discard(new.key)
    assert (len(tier), tier.size) == (0, 0)


def test_clearing_keeps_the_count_of_evictions() -> None:
    tier = tier_of(10)
    for number in range(15):
        tier.put(make(number))
    lookup = tier.get
    tier.clear()
    assert (len(tier), tier.size, tier.evictions) == (0, 0, 5)
    assert tier.entries() == []
    for number in range(12):
        tier.put(make(number))
    assert held(tier) == set(range(2, 12))
    assert lookup(key_of(11)) is not None


def test_a_lookup_waits_for_no_writer() -> None:
    tier = MemoryTier(MIB)
    tier.put(make(1))
    with tier._lock:  # a writer that never ends
        assert tier.get(key_of(1)) is not None
        assert tier.get(key_of(2)) is None


# Expiry -------------------------------------------------------------------------------------------


def test_pruning_takes_the_dead_and_looks_at_no_more_than_told(clock: FakeClock) -> None:
    tier = MemoryTier(MIB, clock=clock.monotonic)
    now = clock.monotonic()
    windows = [
        {"fresh_until": now + 1, "stale_until": now + 1, "stale_error_until": now + 1},
        {"fresh_until": now + 1, "stale_until": now + 5, "stale_error_until": now + 1},
        {"fresh_until": now + 1, "stale_until": now + 1, "stale_error_until": now + 5},
        {"fresh_until": now + 5, "stale_until": now + 1, "stale_error_until": now + 1},
    ]
    for number in range(100):
        tier.put(make(number, **windows[number % 4]))
    assert tier.prune(now + 0.9) == 0
    assert sum(tier.prune(now + 1, limit=10) for _ in range(10)) == 25
    assert held(tier) == {number for number in range(100) if number % 4}
    assert tier.prune(now + 5, limit=1000) == 75
    assert tier.size == 0


def test_puts_sweep_the_dead_out_without_being_asked(clock: FakeClock) -> None:
    tier = MemoryTier(MIB, clock=clock.monotonic)
    soon = clock.monotonic() + 1
    for number in range(100):
        tier.put(make(number, fresh_until=soon, stale_until=soon, stale_error_until=soon))
    clock.advance(1)
    for number in range(100, 260):
        tier.put(make(number))
    assert held(tier) == set(range(100, 260))
    assert tier.evictions == 0


# SIEVE --------------------------------------------------------------------------------------------


class PaperSieve:
    """The algorithm as published: one queue, one hand, for entries that all cost the same."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.queue: list[int] = []  # oldest first
        self.visited: set[int] = set()
        self.hand = 0

    def ask(self, number: int) -> None:
        if number in self.queue:
            self.visited.add(number)
            return
        if len(self.queue) == self.capacity:
            self._evict()
        self.queue.append(number)

    def _evict(self) -> None:
        while self.queue[self.hand] in self.visited:
            self.visited.remove(self.queue[self.hand])
            self.hand = (self.hand + 1) % len(self.queue)
        del self.queue[self.hand]
        if self.hand == len(self.queue):
            self.hand = 0


@pytest.mark.parametrize("capacity", [8, 9, 50, 200])
def test_it_evicts_what_the_paper_says(capacity: int) -> None:
    rng = random.Random(capacity)
    tier, paper = tier_of(capacity), PaperSieve(capacity)
    for _ in range(5_000):
        number = int(rng.paretovariate(0.4))
        if entry := tier.get(key_of(number % 1000)):
            entry.visited = True
        else:
            tier.put(make(number % 1000))
        paper.ask(number % 1000)
        assert len(tier) == len(paper.queue)
    assert held(tier) == set(paper.queue)
    assert tier.evictions > 500


def test_hot_entries_survive_a_flood_of_random_keys() -> None:
    tier = MemoryTier(2 * MIB)
    rng = random.Random(1)
    for number in range(100):
        tier.put(make(number))
    for flood in range(100_000):  # fails without the visited bit
        tier.put(make(1000 + rng.getrandbits(100)))
        hot = tier.get(key_of(flood % 100))
        assert hot is not None
        hot.visited = True
        assert tier.size <= tier.max_size
    assert tier.evictions > 90_000


def test_a_replaced_entry_counts_as_asked_for() -> None:
    tier = tier_of(10)
    for number in range(10):
        tier.put(make(number))
    tier.put(make(0))
    tier.put(make(10))
    assert held(tier) == {0, *range(2, 11)}


def test_a_large_entry_makes_room_for_itself_and_stays() -> None:
    tier = tier_of(80)
    for number in range(80):
        tier.put(make(number))
    for number in (0, 79, 100):
        large = make(number, 2500)
        if number == 100:
            assert not tier.put(large)  # at the first time; see below
        assert tier.put(large)
        assert tier.get(large.key) is large
        assert tier.size <= tier.max_size


# The door -----------------------------------------------------------------------------------------


def test_where_there_is_no_room_a_large_entry_comes_in_the_second_time() -> None:
    refused: list[str] = []
    tier = MemoryTier(100 * cost(make(0)), on_refuse=refused.append)
    assert tier.put(make(100, 3000)), "there is room"
    tier.clear()
    for number in range(100):
        tier.put(make(number))
    assert not tier.put(make(101, 3000))  # fails without the door
    assert (tier.evictions, refused) == (0, ["first-time"]), "nothing went for it"
    assert tier.put(make(101, 3000))
    assert tier.put(make(102, 150)), "this one is not large"
    assert not tier.put(make(103, 30_000))
    assert refused == ["first-time", "too-large"]


def test_what_was_here_a_moment_ago_does_not_wait_at_the_door() -> None:
    tier = tier_of(100)
    for number in range(100, 180):
        tier.put(make(number))
    tier.put(make(7, 3000))
    tier.discard(key_of(7))
    for number in range(200, 230):
        tier.put(make(number))
    assert tier.evictions, "there is no room"
    assert tier.put(make(7, 3000))


def test_a_large_entry_in_place_of_a_small_one_was_asked_for() -> None:
    tier = tier_of(100)
    for number in range(100):
        tier.put(make(number))
    assert tier.put(make(5, 3000))


def test_the_door_remembers_what_came_lately_and_takes_few_strangers_for_it() -> None:
    door, rng = Doorkeeper(), random.Random(1)
    keys = [rng.randbytes(16) for _ in range(3 * Doorkeeper.KEPT)]
    known = sum(door.seen_before(key) for key in keys)
    assert known < len(keys) * 0.25
    assert all(door.seen_before(key) for key in keys[-Doorkeeper.KEPT :])
    fresh = sum(Doorkeeper().seen_before(key) for key in keys[:100])
    assert fresh == 0


@pytest.mark.thorough
def test_discarding_and_filling_for_ever_takes_no_memory() -> None:
    tier = tier_of(100)
    for number in range(50):
        tier.put(make(number))

    def churn(rounds: int) -> int:
        for number in range(1000, 1000 + rounds):
            tier.put(make(number))
            tier.discard(key_of(number))
            tier.put(make(7))
            tier.discard(key_of(7))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = churn(500)
        assert churn(20_000) - before < 20_000  # fails when ghosts are not cleared away
    finally:
        tracemalloc.stop()
    assert len(tier) == 49


def test_after_a_purge_of_all_that_is_ahead_the_oldest_still_goes_first() -> None:
    tier = tier_of(200)
    for number in range(200):
        tier.put(make(number))
    for entry in tier.entries()[:100]:
        entry.visited = True
    tier.put(make(200))  # the hand passes the first hundred and takes the next
    for number in (*range(101, 201), *range(50)):
        tier.discard(key_of(number))
    for number in range(300, 450):
        tier.put(make(number))
    assert tier.evictions == 1
    tier.put(make(1000))
    assert held(tier) == {*range(51, 100), *range(300, 450), 1000}


class TierAgainstDict(RuleBasedStateMachine):
    """Whatever happens, the tier holds nothing but what was put last, and no more than its cap."""

    numbers = st.integers(0, 30)

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.tier = MemoryTier(16 * 1024, clock=self.clock.monotonic)
        self.last: dict[bytes, Entry] = {}

    @rule(number=numbers, size=st.integers(0, 2500), lifetime=st.sampled_from([1.0, 10.0, 1e6]))
    def put(self, number: int, size: int, lifetime: float) -> None:
        dies_at = self.clock.monotonic() + lifetime
        times = dict.fromkeys(("fresh_until", "stale_until", "stale_error_until"), dies_at)
        entry = make(number, size, **times)
        small = cost(entry) * 8 <= self.tier.max_size
        known = self.tier.get(entry.key) is not None
        room = self.tier.size + cost(entry) <= self.tier.max_size
        kept = self.tier.put(entry)
        assert small or not kept
        assert kept or not small or not (known or room), (
            "only the door refuses what is not too large"
        )
        if kept:
            self.last[entry.key] = entry
            assert self.tier.get(entry.key) is entry
        else:
            self.last.pop(entry.key, None)

    @rule(number=numbers)
    def hit(self, number: int) -> None:
        if entry := self.tier.get(key_of(number)):
            entry.visited = True

    @rule(number=numbers)
    def discard(self, number: int) -> None:
        self.tier.discard(key_of(number))
        self.last.pop(key_of(number), None)

    @rule(number=numbers, same=st.booleans())
    def discard_if(self, number: int, same: bool) -> None:
        entry = self.tier.get(key_of(number))
        if entry is None:
            return
        self.tier.discard_if(entry.key, entry if same else make(number))
        assert (self.tier.get(entry.key) is None) is same
        if same:
            del self.last[entry.key]

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0]))
    def prune(self, seconds: float) -> None:
        self.clock.advance(seconds)
        now = self.clock.monotonic()
        self.tier.prune(now, limit=100)
        self.tier.prune(now, limit=100)  # the first may have ended an older round
        assert all(entry.dies_at > now for entry in self.tier.entries())

    @rule()
    def clear(self) -> None:
        self.tier.clear()
        self.last.clear()

    @invariant()
    def nothing_but_the_last_put(self) -> None:
        for entry in self.tier.entries():
            assert self.last[entry.key] is entry

    @invariant()
    def sizes_add_up_below_the_cap(self) -> None:
        assert self.tier.size == sum(map(cost, self.tier.entries())) <= self.tier.max_size


TierAgainstDict.TestCase.settings = settings(
    max_examples=examples(60), stateful_step_count=60, deadline=None
)
TestTierAgainstDict = TierAgainstDict.TestCase


# Pressure -----------------------------------------------------------------------------------------


def pressed(clock: FakeClock, count: int = 95, **options: Any) -> MemoryTier:
    """Return a tier of a hundred with so many entries that live for an hour, a second apart.

    Nothing else takes memory in its container, which has just room for a full tier.
    """
    full = 100 * cost(make(0))
    tier = MemoryTier(
        full, limit=MemoryLimit(full, lambda: tier.size), clock=clock.monotonic, **options
    )
    fill_slowly(tier, clock, range(count))
    return tier


def fill_slowly(tier: MemoryTier, clock: FakeClock, numbers: range) -> None:
    for number in numbers:
        clock.advance(1)
        tier.put(lasting(clock, number))


def lasting(clock: FakeClock, number: int, size: int = 100) -> Entry:
    ends = ("fresh_until", "stale_until", "stale_error_until")
    return make(number, size, **dict.fromkeys(ends, clock.monotonic() + 3600.0))


def sweep(tier: MemoryTier, clock: FakeClock) -> None:
    for _ in range(2):  # the first may have ended an older round
        tier.prune(clock.monotonic())


def test_under_pressure_a_large_entry_leaves_before_its_time_and_small_ones_stay(
    clock: FakeClock,
) -> None:
    tier = pressed(clock)
    assert tier.pressure is PressureLevel.ALERT
    large = lasting(clock, 1000, 1400)
    for _ in range(2):
        tier.put(large)
    clock.advance(1200)
    sweep(tier, clock)
    assert tier.get(large.key) is large
    clock.advance(600)
    sweep(tier, clock)
    assert tier.get(large.key) is None  # fails where `_leaves_at` gives no time
    assert len(tier) >= 90
    assert large.fresh_until - clock.monotonic() == 1800.0, "its freshness is its own"


def test_what_came_before_the_pressure_has_its_shortened_time_from_then_on(
    clock: FakeClock,
) -> None:
    tier = pressed(clock, 50)
    large = lasting(clock, 1000, 1400)
    tier.put(large)
    clock.advance(1700)
    fill_slowly(tier, clock, range(100, 144))
    assert tier.pressure is PressureLevel.ALERT
    sweep(tier, clock)
    assert tier.get(large.key) is large
    clock.advance(1000)
    sweep(tier, clock)
    assert tier.get(large.key) is None


def test_pressure_is_told_once_and_ends_by_itself_when_a_purge_makes_room(
    clock: FakeClock,
) -> None:
    told: list[PressureChange] = []
    purged: set[bytes] = set()
    tier = pressed(clock, 100, on_pressure=told.append, is_dead=lambda entry: entry.key in purged)
    fill_slowly(tier, clock, range(100, 110))
    assert [(change.level, change.over) for change in told] == [
        (PressureLevel.WARNING, False),
        (PressureLevel.ALERT, False),
    ]
    clock.advance(5)
    purged |= {key_of(number) for number in range(70)}
    tier.tidy()  # fails where the sweep leaves what was purged
    assert told[2:] == [
        PressureChange(
            level=PressureLevel.ALERT,
            over=True,
            used=tier.size,
            limit=90 * cost(make(0)),
            shed=10,
            seconds=45.0,
        )
    ]
    assert tier.pressure is PressureLevel.NONE
    large = lasting(clock, 1000, 1400)
    tier.put(large)
    clock.advance(3599)
    sweep(tier, clock)
    assert tier.get(large.key) is large, "lifetimes are whole again"


def test_expiry_ends_the_pressure_too(clock: FakeClock) -> None:
    told: list[PressureChange] = []
    tier = pressed(clock, on_pressure=told.append)
    clock.advance(3600)
    sweep(tier, clock)
    assert (len(tier), tier.pressure, told[-1].over) == (0, PressureLevel.NONE, True)


def test_a_full_tier_alone_is_no_pressure(clock: FakeClock) -> None:
    told: list[PressureChange] = []
    full = 100 * cost(make(0))
    for limit in (None, MemoryLimit(full, lambda: None), MemoryLimit(10 * full, lambda: full)):
        tier = MemoryTier(full, clock=clock.monotonic, on_pressure=told.append, limit=limit)
        fill_slowly(tier, clock, range(150))
        assert (len(tier), tier.pressure) == (100, PressureLevel.NONE)
    assert told == []


def test_the_memory_in_use_is_read_at_most_once_a_second(clock: FakeClock) -> None:
    readings: list[float] = []

    def used() -> int:
        readings.append(clock.monotonic())
        return 0

    tier = MemoryTier(MIB, limit=MemoryLimit(MIB, used), clock=clock.monotonic)
    for _ in range(3):
        for number in range(50):
            tier.put(lasting(clock, number))
        clock.advance(1)
    assert len(readings) == 3


def test_memory_is_to_be_given_back_each_time_that_much_of_it_has_gone() -> None:
    freed: list[int] = []
    tier = MemoryTier(64 * MIB, on_freed=lambda: freed.append(tier.size))
    for number in range(400):
        for _ in range(2):  # past the door
            tier.put(make(number, 200_000))
    gone = tier._cache.freed
    assert len(freed) == gone // (4 * MIB) >= 2
    tier.clear()
    assert freed[-1] == 0


# Threads ------------------------------------------------------------------------------------------


def test_threads_leave_the_books_in_order() -> None:
    tier = tier_of(60)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for step in range(3_000):
                key = key_of(rng.randrange(200))
                entry = tier.get(key)
                if entry is not None:
                    assert entry.key == key
                    entry.visited = True
                match step % 10:
                    case 0:
                        tier.discard(key)
                    case 1 if entry:
                        tier.discard_if(key, entry)
                    case 2:
                        tier.prune(0.0, 10)
                    case 3 if step % 100 == 3:
                        assert len(tier.entries()) <= 200
                    case _:
                        tier.put(make(int.from_bytes(key, "big"), rng.randrange(400)))
                assert tier.size <= tier.max_size
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert tier.size == sum(map(cost, tier.entries()))
    for number in range(1000, 1060):
        tier.put(make(number))
    assert held(tier) <= {*range(200), *range(1000, 1060)}
    assert tier.size <= tier.max_size


# Memory -------------------------------------------------------------------------------------------


def learned(born: float, position: Position, rng: random.Random) -> Learned:
    """Return what is known of a key, every object made afresh as a refresh does."""
    return Learned(
        content=rng.randbytes(8),
        seen_at=born - rng.random(),
        position=position,
        fresh_until=born + 1e6,
        lifetime=rng.random(),
        free=True,
        refreshes=3,
        changes=rng.random(),
        seconds=rng.random(),
        asked=rng.random(),
        waited=rng.random(),
    )


def realistic(number: int, size: int, rng: random.Random, *, learns: bool = False) -> Entry:
    """Return an entry with six fields and two tags, every object made afresh as a response does."""
    shown = {
        "content-type": "application/json",
        "content-length": str(size),
        "cache-control": "public, max-age=60",
        "etag": f'"{rng.getrandbits(64):016x}"',
        "vary": "Accept-Encoding",
        "last-modified": f"Mon, 01 Jan 2024 {number:08} GMT",
    }
    born = 1000 + rng.random()
    position = Position(POSITION.epoch, rng.getrandbits(110))
    return make(
        number,
        headers=intern_pairs(tuple((k.encode(), v.encode()) for k, v in shown.items())),
        body=rng.randbytes(size),
        born=born,
        fresh_until=born + 1e6,
        stale_until=born + 2e6,
        stale_error_until=born + 3e6,
        position=position,
        tags=(f"product:{number}", f"shelf:{number % 7}"),
        learned=learned(born, position, rng) if learns else None,
    )


def fill(count: int, largest: int, *, learns: bool = False) -> tuple[MemoryTier, int]:
    """Return a tier with entries of mixed sizes, and the bytes that came to be in use for it."""
    rng = random.Random(5)
    gc.collect()
    tracemalloc.start()
    try:
        tier = MemoryTier(1 << 30)
        for number in range(count):
            tier.put(realistic(number, rng.randrange(largest), rng, learns=learns))
        gc.collect()
        return tier, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("largest", [1_000, pytest.param(4_000, marks=pytest.mark.thorough)])
def test_the_size_is_honest_and_an_entry_costs_1200_bytes_over_its_body(
    largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tables of what entries share never forget: other tests may have filled them.
    for table in ("_pairs", "_names"):
        monkeypatch.setattr(interning, table, {})
    monkeypatch.setattr(interning, "_seen_once", set())
    tier, used = fill(20_000, largest)
    assert len(tier) == 20_000
    assert tier.size == pytest.approx(used, rel=0.15)
    bodies = sum(len(entry.body) for entry in tier.entries())
    assert (used - bodies) / len(tier) <= 1200
    assert (tier.size - bodies) / len(tier) <= 1200


def test_what_is_known_of_a_key_counts_for_the_size_too() -> None:
    tier, used = fill(5_000, 100, learns=True)
    plain, used_without = fill(5_000, 100)
    assert tier.size - plain.size == pytest.approx(used - used_without, rel=0.15)
