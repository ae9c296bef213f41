from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest
from redis import Redis

from cachemw.errors import StoreUnavailable
from cachemw.telemetry import fleet
from cachemw.telemetry.events import BOUNDS
from cachemw.telemetry.fleet import publish, read
from cachemw.telemetry.stats import Histogram, Stats


def statistics(hits: int) -> Stats:
    return Stats(processes=1, requests={"products": {"hit_memory": hits}})


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def namespace() -> str:
    return f"fleet-{uuid4().hex}"


def age(client: Redis, namespace: str, process_id: str, seconds: float) -> None:
    """Move a process's last heartbeat into the past."""
    key = fleet.name_of(namespace)
    field = client.hget(key, process_id)
    assert isinstance(field, bytes)
    shape, at_ms, *rest = msgspec.msgpack.decode(field)
    client.hset(key, process_id, msgspec.msgpack.encode([shape, at_ms - seconds * 1000, *rest]))


def test_the_fleet_is_the_sum_of_its_processes(
    client: Redis, redis_url: str, namespace: str
) -> None:
    publish(client, namespace, "a", "api", statistics(1).encode())
    publish(client, namespace, "b", "api", statistics(2).encode())
    publish(client, namespace, "b", "api", statistics(3).encode())
    for source in (redis_url, client):
        found = read(source, namespace)
        assert found.stats == Stats(processes=2, requests={"products": {"hit_memory": 4}})
        assert [(p.id, p.live, p.stats) for p in found.processes] == [
            ("a", True, statistics(1)),
            ("b", True, statistics(3)),
        ]
        assert all(process.age < 5 for process in found.processes)


def test_the_fleet_knows_of_each_route_why_and_where(client: Redis, namespace: str) -> None:
    """And a process of a release that does not tell is counted all the same."""
    told = Stats(
        processes=1,
        refused={"orders": {"set-cookie": 2}},
        differences={"orders": {"$.total": 3}},
    )
    older = msgspec.msgpack.encode({"processes": 1, "requests": {"orders": {"miss": 4}}})
    for name, encoded in (("a", told.encode()), ("b", told.encode()), ("c", older)):
        publish(client, namespace, name, "api", encoded)
    found = read(client, namespace)
    assert (found.stats.processes, found.unreadable) == (3, 0)
    assert found.stats.refused == {"orders": {"set-cookie": 4}}
    assert found.stats.differences == {"orders": {"$.total": 6}}
    assert found.stats.total == 4


def test_nobody_there_is_an_empty_fleet(redis_url: str, namespace: str) -> None:
    assert read(redis_url, namespace) == fleet.FleetStats(stats=Stats(), processes=())


def test_namespaces_are_apart(client: Redis, redis_url: str, namespace: str) -> None:
    publish(client, namespace, "a", "api", statistics(1).encode())
    assert read(redis_url, f"{namespace}-other").processes == ()


def test_a_silent_process_is_listed_but_not_counted(client: Redis, namespace: str) -> None:
    for name in ("live", "silent"):
        publish(client, namespace, name, "api", statistics(1).encode())
    age(client, namespace, "silent", 11)
    found = read(client, namespace)
    assert found.stats.total == 1
    assert [(p.id, p.live) for p in found.processes] == [("live", True), ("silent", False)]
    assert 11 <= found.processes[1].age < 20


def test_a_process_that_ended_an_hour_ago_is_dropped_by_reading(
    client: Redis, namespace: str
) -> None:
    for name in ("live", "dead"):
        publish(client, namespace, name, "api", statistics(1).encode())
    age(client, namespace, "dead", 3601)
    assert [process.id for process in read(client, namespace).processes] == ["live"]
    assert client.hkeys(fleet.name_of(namespace)) == [b"live"]


def test_restarting_processes_do_not_pile_up_when_nobody_reads(
    client: Redis, namespace: str
) -> None:
    """Fails without the clearing at a process's first report."""
    for number in range(5):
        publish(client, namespace, f"worker{number}", "api", statistics(1).encode())
        age(client, namespace, f"worker{number}", 3601)
    publish(client, namespace, "worker5", "api", statistics(1).encode())
    assert client.hkeys(fleet.name_of(namespace)) == [b"worker5"]
    assert 0 < client.ttl(fleet.name_of(namespace)) <= 7200


def packed(shape: int, stats: bytes, at_ms: int = 2**45) -> bytes:
    return msgspec.msgpack.encode([shape, at_ms, stats, "api"])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00garbage",
        packed(fleet.SHAPE + 1, b""),
        packed(fleet.SHAPE, b"\xff not statistics"),
        packed(
            fleet.SHAPE,
            Stats(durations={"products": {"hit_memory": Histogram((1, 2), 3)}}).encode(),
        ),
    ],
    ids=["empty", "garbage", "other release", "damaged", "other buckets"],
)
def test_what_cannot_be_read_is_counted_and_left_alone(
    client: Redis, namespace: str, value: bytes
) -> None:
    histogram = Histogram((1,) * (len(BOUNDS) + 1), 3)
    good = Stats(processes=1, durations={"products": {"hit_memory": histogram}})
    publish(client, namespace, "a", "api", good.encode())
    client.hset(fleet.name_of(namespace), "b", value)
    found = read(client, namespace)
    assert (found.stats, found.unreadable) == (good, 1)
    assert client.hlen(fleet.name_of(namespace)) == 2


def test_an_unreachable_server_is_our_error_and_soon() -> None:
    unreachable = "redis://127.0.0.1:1/0"
    with pytest.raises(StoreUnavailable, match="ConnectionError"):
        read(unreachable, "shop")
    with Redis.from_url(unreachable) as client, pytest.raises(StoreUnavailable):
        publish(client, "shop", "a", "api", b"")


def test_importing_telemetry_imports_no_redis() -> None:
    program = (
        "import sys, cachemw.telemetry, cachemw.telemetry.fleet, cachemw.telemetry.logs, "
        "cachemw.telemetry.otel; assert 'redis' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
