"""What holds for every store of entries: the memory tier, and the Redis tier from threads and loops."""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.connections.nodes import Nodes
from cachemw.engine.model.entry import Entry, Key, Position, VaryMarker
from cachemw.engine.model.keys import KeyMaker
from cachemw.errors import StoreUnavailable
from cachemw.stores.memory.tier import MemoryTier
from cachemw.stores.redis.codec import Codec
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.tier import RedisTier
from cachemw.testing import FakeClock
from tests.support.entries import make_entry
from tests.support.waiting import until

KEYS = KeyMaker("contract", b"secret")
EPOCH = b"epoch-01"
MAX_BODY = 1 << 20
LARGEST = (MAX_BODY + 4096) * 6 // 5
"""What an entry between the largest that is kept and one that is not costs in memory."""


class Store(Protocol):
    """The contract."""

    def put(self, key: Key, entry: Entry) -> None: ...

    def get(self, key: Key) -> Entry | None: ...


class InMemory:
    """The memory tier. What is of no use any more is swept, not refused, so the sweep comes first."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._tier = MemoryTier(LARGEST * 8, clock=clock.monotonic)

    def put(self, key: Key, entry: Entry) -> None:
        self._tier.put(entry)

    def get(self, key: Key) -> Entry | None:
        self._tier.prune(self._clock.monotonic())
        return self._tier.get(key.digest)


class FromThreads:
    """The Redis tier as WSGI uses it."""

    def __init__(self, tier: RedisTier) -> None:
        self.tier = tier

    def put(self, key: Key, entry: Entry) -> None:
        self.tier.put(key, entry)

    def get(self, key: Key) -> Entry | None:
        return self.tier.get(key, EPOCH)


class FromALoop:
    """The Redis tier as ASGI uses it."""

    def __init__(self, tier: RedisTier, runner: asyncio.Runner) -> None:
        self.tier = tier
        self._runner = runner

    def put(self, key: Key, entry: Entry) -> None:
        self._runner.run(self.tier.aput(key, entry))

    def get(self, key: Key) -> Entry | None:
        return self._runner.run(self.tier.aget(key, EPOCH))


class Tiers:
    """Makes Redis tiers over one server; `counted` is what they counted."""

    def __init__(self, url: str, clock: FakeClock, **settings: Any) -> None:
        # The breaker never has reason to open.
        patient: dict[str, Any] = {"deadline": "10s", "breaker_failures": 1_000_000}
        self.nodes = Nodes(RedisConfig(url=url, **(patient | settings)))
        self.counted: Counter[tuple[str, str]] = Counter()
        self._clock = clock
        self._shift = time.time() - clock.monotonic()

    def make(self, max_body: int = MAX_BODY) -> RedisTier:
        def count(event: str, reason: str) -> None:
            self.counted.update([(event, reason)])

        return RedisTier(
            Commands(self.nodes, count),
            "contract",
            Codec([b"secret"], threshold=1024, level=3, max_body=max_body),
            server_clock=lambda: self._shift,
            monotonic=self._clock.monotonic,
            count=count,
        )


@pytest.fixture
def tiers(redis_server: Any, redis_url: str, clock: FakeClock) -> Iterator[Tiers]:
    tiers = Tiers(redis_url, clock)
    yield tiers
    tiers.nodes.close()


@pytest.fixture(params=["memory", "redis from threads", "redis from a loop"])
def store(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Store]:
    if request.param == "memory":
        yield InMemory(clock)
        return
    tiers: Tiers = request.getfixturevalue("tiers")
    if request.param == "redis from threads":
        yield FromThreads(tiers.make())
        return
    with asyncio.Runner() as runner:
        yield FromALoop(tiers.make(), runner)
        runner.run(tiers.nodes.aclose())


@pytest.fixture(params=["threads", "a loop"])
def redis_store(request: pytest.FixtureRequest, tiers: Tiers) -> Iterator[FromThreads | FromALoop]:
    if request.param == "threads":
        yield FromThreads(tiers.make())
        return
    with asyncio.Runner() as runner:
        yield FromALoop(tiers.make(), runner)
        runner.run(tiers.nodes.aclose())


def key(name: str) -> Key:
    return KEYS.make((name.encode(),))


def entry(name: str, clock: FakeClock, **changes: Any) -> Entry:
    now = clock.monotonic()
    fields: dict[str, Any] = {
        "key": key(name).digest,
        "status": 200,
        "headers": ((b"content-type", b"text/plain"),),
        "body": name.encode(),
        "route": "things",
        "born": now,
        "fresh_until": now + 60,
        "stale_until": now + 90,
        "stale_error_until": now + 120,
        "position": Position(EPOCH, 7 << 64),
        "tags": ("thing:1", "things"),
    }
    fields |= changes
    return make_entry(**fields)


PLAIN = ("key", "status", "headers", "body", "route", "position", "tags", "vary")
TIMES = ("born", "fresh_until", "stale_until", "stale_error_until")

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no body": {"body": b"", "status": 204},
    "a body worth compressing": {"body": b"the same again " * 10_000},
    "a body that does not compress": {"body": random.Random(1).randbytes(50_000)},
    "the largest body": {"body": random.Random(2).randbytes(MAX_BODY)},
    "fields in order, twice the same": {
        "headers": (
            (b"link", b"</a>"),
            (b"content-type", b"text/html"),
            (b"link", b"</b>"),
            (b"link", b"</a>"),
            (b"x-empty", b""),
            (b"x-latin", b"caf\xe9"),
        )
    },
    "selecting fields, one absent": {
        "vary": ((b"accept-language", b"de"), (b"x-absent", None)),
    },
    "no tags": {"tags": ()},
    "many tags": {"tags": tuple(f"tag:{n}" for n in range(1000))},
    "an error with a lifetime": {"status": 503},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_put_is_got_unchanged(store: Store, clock: FakeClock, shape: str) -> None:
    put = entry("one", clock, **SHAPES[shape])
    store.put(key("one"), put)
    got = store.get(key("one"))
    assert got is not None
    assert [getattr(got, name) for name in PLAIN] == [getattr(put, name) for name in PLAIN]
    for name in TIMES:
        assert getattr(got, name) == pytest.approx(getattr(put, name), abs=1e-3)


def test_a_vary_marker_that_is_put_is_got_unchanged(store: Store, clock: FakeClock) -> None:
    now = clock.monotonic()
    put = VaryMarker(
        key=key("one").digest,
        names=(b"accept", b"dnt"),
        route="things",
        born=now,
        fresh_until=now + 60,
        dies_at=now + 120,
        position=Position(EPOCH, 7 << 64),
        tags=("thing:1", "things"),
    )
    store.put(key("one"), put)
    got = store.get(key("one"))
    assert isinstance(got, VaryMarker)
    for name in ("key", "names", "route", "position", "tags"):
        assert getattr(got, name) == getattr(put, name)
    for name in ("born", "fresh_until", "dies_at"):
        assert getattr(got, name) == pytest.approx(getattr(put, name), abs=1e-3)


def test_what_was_never_put_is_not_there(store: Store) -> None:
    assert store.get(key("nothing")) is None


def test_the_last_put_counts(store: Store, clock: FakeClock) -> None:
    for body in (b"first", b"second", b"third"):
        store.put(key("one"), entry("one", clock, body=body))
    got = store.get(key("one"))
    assert got is not None
    assert got.body == b"third"


def test_keys_do_not_touch_each_other(store: Store, clock: FakeClock) -> None:
    names = [f"name-{number}" for number in range(50)]
    for name in names:
        store.put(key(name), entry(name, clock))
    found = [store.get(key(name)) for name in names]
    assert [each.body if each else None for each in found] == [name.encode() for name in names]


def test_an_entry_lives_until_it_is_of_no_use(store: Store, clock: FakeClock) -> None:
    store.put(key("one"), entry("one", clock))
    clock.advance(119)  # fresh for 60 s, of use when the origin fails for 120 s
    assert store.get(key("one")) is not None
    clock.advance(2)
    assert store.get(key("one")) is None


def test_the_age_of_an_entry_survives_the_store(store: Store, clock: FakeClock) -> None:
    store.put(key("one"), entry("one", clock, born=clock.monotonic() - 30))
    clock.advance(10)
    got = store.get(key("one"))
    assert got is not None
    assert clock.monotonic() - got.born == pytest.approx(40, abs=1e-3)


def test_what_is_too_large_is_not_kept(store: Store, clock: FakeClock) -> None:
    store.put(key("huge"), entry("huge", clock, body=bytes(MAX_BODY + 8192)))
    assert store.get(key("huge")) is None


def test_what_is_dead_when_it_is_put_is_not_there(store: Store, clock: FakeClock) -> None:
    past = clock.monotonic() - 1
    store.put(
        key("late"),
        entry(
            "late",
            clock,
            born=past - 60,
            fresh_until=past,
            stale_until=past,
            stale_error_until=past,
        ),
    )
    assert store.get(key("late")) is None


# -- what only the shared store must see to --------------------------------------------------------


def name_of(name: str) -> str:
    return f"cachemw:{{contract:{key(name).digest.hex()}}}:e4"


def test_another_keys_bytes_are_no_entry(
    redis_store: FromThreads | FromALoop, redis_server: Any, tiers: Tiers, clock: FakeClock
) -> None:
    # Guard: the codec compares the whole key that the envelope carries with the one asked for.
    redis_store.put(key("mine"), entry("mine", clock))
    redis_server.command("COPY", name_of("mine"), name_of("yours"))
    assert redis_store.get(key("yours")) is None
    assert tiers.counted["entry_rejected", "key"] == 1
    assert redis_store.get(key("mine")) is not None


def sealed_by(server: Any, name: str, **changes: Any) -> None:
    """Sign what stands there with another secret, or in another namespace, as its owner would."""
    (namespace, secret) = changes.get("namespace", "contract"), changes.get("secret", b"secret")
    codec = Codec([secret], threshold=1024, level=3, max_body=MAX_BODY)
    other = KeyMaker(namespace, b"secret").make((b"one",))
    now = time.time()
    put = entry("one", FakeClock(monotonic=now), position=Position(EPOCH, 7 << 64))
    server.command("SET", name, codec.encode(put, other, now=now, server_now=now))


PLANTED: dict[str, tuple[str | None, Callable[[Any, str], object]]] = {
    "garbage": ("magic", lambda server, name: server.command("SET", name, b"\x80\x04garbage" * 20)),
    "nothing, which is as good as absent": (
        None,
        lambda server, name: server.command("SET", name, b""),
    ),
    "cut short": (
        "length",
        lambda server, name: server.command("SET", name, server.command("GETRANGE", name, 0, -2)),
    ),
    "one bit flipped": (
        "checksum",
        lambda server, name: server.command(
            "SETBIT", name, 900, 1 - server.command("GETBIT", name, 900)
        ),
    ),
    "another version": ("version", lambda server, name: server.command("SETRANGE", name, 3, b"\1")),
    "another secret's": ("checksum", lambda server, name: sealed_by(server, name, secret=b"other")),
    "another namespace's": ("key", lambda server, name: sealed_by(server, name, namespace="other")),
    "a list": (
        "type",
        lambda server, name: (server.command("DEL", name), server.command("RPUSH", name, "x")),
    ),
    "a hash": (
        "type",
        lambda server, name: (server.command("DEL", name), server.command("HSET", name, "x", "y")),
    ),
    "a hundred megabytes": (
        "length",
        lambda server, name: server.command("SETRANGE", name, 100_000_000, "x"),
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_whatever_stands_under_a_name_is_a_counted_miss_and_is_written_over(
    redis_store: FromThreads | FromALoop,
    redis_server: Any,
    tiers: Tiers,
    clock: FakeClock,
    planted: str,
) -> None:
    reason, plant = PLANTED[planted]
    redis_store.put(key("one"), entry("one", clock))
    plant(redis_server, name_of("one"))
    assert redis_store.get(key("one")) is None
    assert tiers.counted == ({("entry_rejected", reason): 1} if reason else {})
    assert redis_store.tier.reachable(key("one"))
    redis_store.put(key("one"), entry("one", clock))
    assert redis_store.get(key("one")) is not None


def test_a_hundred_megabytes_cost_no_more_than_an_entry(
    redis_store: FromThreads | FromALoop, redis_server: Any, tiers: Tiers
) -> None:
    # Guard: `RedisTier.get` asks for no more than an entry can have.
    redis_server.command("SETRANGE", name_of("huge"), 100_000_000, "x")
    assert redis_store.get(key("none")) is None  # so that the connection is there
    sent = figure(redis_server, "total_net_output_bytes")
    tracemalloc.start()
    try:
        assert redis_store.get(key("huge")) is None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    largest = MAX_BODY + 256 * 1024
    assert figure(redis_server, "total_net_output_bytes") - sent < largest
    assert most < 4 * largest
    assert tiers.counted == {("entry_rejected", "magic"): 1}


def test_wrong_types_do_not_open_the_breaker(
    redis_server: Any, redis_url: str, clock: FakeClock
) -> None:
    # Guard: `Commands._failed` knows that the server is well where the value is not.
    tiers = Tiers(redis_url, clock, breaker_failures=2)
    tier = tiers.make()
    redis_server.command("RPUSH", name_of("one"), "x")
    for _ in range(5):
        assert tier.get(key("one"), EPOCH) is None
    assert tiers.counted == {("entry_rejected", "type"): 5}
    assert tier.reachable(key("one"))
    tiers.nodes.close()


def test_a_reply_that_streams_in_is_cut_off_at_the_deadline_too(
    redis_server: Any, redis_url: str, clock: FakeClock
) -> None:
    # Guard: the parser in `deadline.py` gives up when time is up, although the next piece is there:
    # with this limit the whole value would come through, which takes a third of a second.
    tiers = Tiers(redis_url, clock, deadline="100ms")
    tier = tiers.make(max_body=150_000_000)
    redis_server.command("SETRANGE", name_of("huge"), 100_000_000, "x")
    with pytest.raises(StoreUnavailable, match="TimeoutError"):
        tier.get(key("huge"), EPOCH)
    tiers.nodes.close()


def test_entries_of_another_life_of_the_log_are_none(
    redis_store: FromThreads | FromALoop, clock: FakeClock
) -> None:
    # Guard: `RedisTier._open` looks at the epoch that the entry carries.
    redis_store.put(key("one"), entry("one", clock, position=Position(b"epoch-02", 1)))
    assert redis_store.get(key("one")) is None


def test_redis_forgets_an_entry_when_it_is_of_no_use(
    redis_store: FromThreads | FromALoop, redis_server: Any, clock: FakeClock
) -> None:
    now = clock.monotonic()
    short = entry(
        "one", clock, fresh_until=now + 0.05, stale_until=now + 0.05, stale_error_until=now + 0.05
    )
    redis_store.put(key("one"), short)
    redis_store.put(key("two"), entry("two", clock))
    assert 0 < redis_server.command("PTTL", name_of("two")) <= 120_000
    until(lambda: redis_server.command("EXISTS", name_of("one")) == 0)


def test_a_read_is_one_round_trip(
    redis_store: FromThreads | FromALoop, redis_server: Any, clock: FakeClock
) -> None:
    redis_store.put(key("one"), entry("one", clock))
    redis_store.get(key("one"))
    before = commands(redis_server)
    for _ in range(10):
        redis_store.get(key("one"))
    # INFO itself is counted when it has answered.
    assert commands(redis_server) - before == 11


def commands(server: Any) -> int:
    return figure(server, "total_commands_processed")


def figure(server: Any, name: str) -> int:
    lines = server.command("INFO", "stats").split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in lines if line.startswith(name.encode() + b":"))
