"""What the demo says is what it measured: its parts, fed by hand."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from rich.console import Console

from cachemw.cli.demo import processes
from cachemw.cli.demo.figures import Figures, Outage, ResponseTimes, Run, compare
from cachemw.cli.demo.processes import FRONT_ENDS, check_extras, find_shop
from cachemw.cli.demo.report import print_figures, print_rollout
from cachemw.cli.demo.restarts import RestartResult
from cachemw.cli.demo.rollback import RollbackResult
from cachemw.ops.load.client import Connection, Pool, Reply, RequestError
from cachemw.ops.load.replay import Sample
from cachemw.ops.load.staleness import Versions, changed_versions, shown_versions
from cachemw.ops.load.traffic import World, checks_after, make_traffic

WORLD = World(products=1000, customers=50, orders=500, categories=("a", "b", "c"))


def test_traffic_is_the_same_for_the_same_seed_and_keeps_its_rate() -> None:
    once, again = (make_traffic(WORLD, seconds=60, rate=100, workers=2) for _ in range(2))
    assert once == again
    assert once != make_traffic(WORLD, seconds=60, rate=100, workers=2, seed=8)
    assert len(once) == pytest.approx(6000, rel=0.05)
    assert [call.at for call in once] == sorted(call.at for call in once)
    assert sum(call.is_write for call in once) == pytest.approx(120, rel=0.3)


def test_products_are_asked_for_by_zipfs_law() -> None:
    calls = make_traffic(WORLD, seconds=300, rate=200, workers=2)
    paths = [call.path for call in calls if call.kind == "product"]
    first, tenth = paths.count("/products/1"), paths.count("/products/10")
    assert first / tenth == pytest.approx(10**1.2, rel=0.25)


def test_a_write_is_followed_by_a_read_of_it_at_every_process() -> None:
    calls = checks_after(["product:7", "customer:3"], [1.5, 2.5])
    assert [(call.path, call.worker, call.at) for call in calls] == [
        ("/products/7", 0, 1.5),
        ("/products/7", 1, 2.5),
        ("/customers/3", 0, 1.5),
        ("/customers/3", 1, 2.5),
    ]


@pytest.mark.parametrize(
    ("writes", "shown", "sent", "stale"),
    [
        pytest.param([(1.0, 2, 0, False)], 2, 1.5, [], id="newest shown"),
        pytest.param([(1.0, 2, 0, False)], 3, 1.5, [], id="newer than answered"),
        pytest.param([(1.0, 2, 0, False)], 1, 1.5, [(False, 0.5)], id="older shown"),
        pytest.param([(1.0, 2, 0, False)], 1, 0.9, [], id="sent before the write was answered"),
        pytest.param([(1.0, 2, 1, False)], 1, 1.9, [], id="another process is given a second"),
        pytest.param([(1.0, 2, 1, False)], 1, 2.1, [(False, 1.1)], id="and no more"),
        pytest.param([(1.0, 2, 1, True)], 1, 4.0, [(True, 3.0)], id="Valkey away is told apart"),
        pytest.param(
            [(1.0, 2, 0, True), (2.0, 3, 0, False)],
            1,
            2.5,
            [(False, 0.5)],
            id="the strictest promise counts",
        ),
        pytest.param(
            [(1.0, 2, 0, False), (2.0, 3, 0, True)],
            2,
            2.5,
            [(True, 0.5)],
            id="only missed writes count",
        ),
        pytest.param(
            [(1.0, 2, 0, True), (2.0, 3, 0, True)],
            1,
            2.5,
            [(True, 1.5)],
            id="age from the first missed",
        ),
    ],
)
def test_a_read_is_judged_by_the_writes_that_it_must_show(
    writes: list[tuple[float, int, int, bool]],
    shown: int,
    sent: float,
    stale: list[tuple[bool, float]],
) -> None:
    versions = Versions()
    for answered, version, worker, away in writes:
        versions.record_write("product:7", version, answered, worker=worker, away=away)
    versions.check_read("/products/7", {"product:7": shown, "product:8": 1}, sent, worker=0)
    assert [(found.away, pytest.approx(found.age)) for found in versions.stale] == stale


@pytest.mark.parametrize(
    ("kind", "path", "body", "expected"),
    [
        ("product", "/products/7", {"id": 7, "version": 2}, {"product:7": 2}),
        ("check", "/products/7", {"id": 7, "version": 2}, {"product:7": 2}),
        ("check", "/customers/3", {"id": 3, "version": 5}, {"customer:3": 5}),
        ("inventory", "/inventory/7", {"product": 7, "version": 4}, {"inventory:7": 4}),
        ("category", "/catalog/a", {"items": [{"id": 7, "version": 2}]}, {"product:7": 2}),
        ("orders", "/orders?customer=3", {"customer": {"id": 3, "version": 2}}, {"customer:3": 2}),
        ("products", "/products", {"items": [{"id": 7, "version": 2}]}, {"product:7": 2}),
    ],
)
def test_what_an_answer_shows_is_read_out_of_it(
    kind: str, path: str, body: object, expected: dict[str, int]
) -> None:
    assert shown_versions(kind, path, json.dumps(body).encode()) == expected


def test_what_a_write_changed_is_read_out_of_its_answer() -> None:
    placed = {"customer": {"id": 3, "version": 2}, "stock": [{"product": 7, "version": 9}]}
    assert changed_versions("place order", placed) == {"customer:3": 2, "inventory:7": 9}
    assert changed_versions("set price", {"id": 7, "version": 2}) == {"product:7": 2}


def make_run(mean: float, origin_reads: int) -> Run:
    latency = ResponseTimes(count=100, mean=mean, p50=mean, p95=mean, p99=mean)
    return Run(
        latency=latency,
        reads=90,
        writes=10,
        tiers={"memory": 60, "origin": 30},
        origin_reads=origin_reads,
        failures=(),
        judged=20,
        stale=0,
        stale_away=2,
        stale_away_age=4.0,
        stale_examples=(),
    )


GOOD = make_run(0.007, 50)


@pytest.mark.parametrize(
    ("after", "missed"),
    [
        pytest.param(GOOD, None, id="all met, at the limits"),
        pytest.param(replace(GOOD, origin_reads=51), "origin calls", id="few calls saved"),
        pytest.param(make_run(0.0071, 50), "mean response time", id="not faster"),
        pytest.param(replace(GOOD, failures=("GET /: status 500",)), "failed", id="a failure"),
        pytest.param(replace(GOOD, stale=1), "answers that did not", id="a stale answer"),
        pytest.param(replace(GOOD, judged=0), "answers that did not", id="nothing judged"),
        pytest.param(replace(GOOD, stale_away_age=30.1), "older answers", id="over the bound"),
    ],
)
def test_every_target_is_missed_by_what_misses_it(after: Run, missed: str | None) -> None:
    figures = compared(after, seconds=25.0)
    unmet = [target.name for target in figures.targets if not target.met]
    assert [name.startswith(missed or "-") for name in unmet] == ([True] if missed else [])
    assert figures.met is (missed is None)
    assert figures.outage.shared_again == pytest.approx(0.75)
    assert figures.while_away.count == 1
    assert json.loads(json.dumps(figures.as_dict()))["after"]["hit_rate"] == pytest.approx(2 / 3)


def test_a_short_run_is_not_judged_by_its_speed() -> None:
    slow = make_run(0.02, 99)
    assert compared(slow, seconds=12.0).met
    assert not compared(slow, seconds=25.0).met
    assert not compared(replace(slow, stale=1), seconds=12.0).met
    console = Console(width=100, file=io.StringIO())
    print_figures(console, compared(slow, seconds=12.0))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "but those of speed (-), which a run of fewer than 25 seconds cannot show" in said
    assert "Not all" not in said


STAYED_OFF = RestartResult(asked=30, served=0, others_served=4)
ROLLED_BACK = RollbackResult(
    guardrail="latency", seconds=4.0, treated=0.02, control=0.01, healthy=True, restarts=STAYED_OFF
)


@pytest.mark.parametrize(
    ("result", "missed"),
    [
        pytest.param(ROLLED_BACK, [], id="all met"),
        pytest.param(
            RollbackResult(), ["rolled back by", "rolled back, but"], id="not rolled back"
        ),
        pytest.param(replace(ROLLED_BACK, seconds=0.0), ["rolled back by"], id="too early"),
        pytest.param(replace(ROLLED_BACK, failures=("GET /",)), ["rolled back by"], id="a failure"),
        pytest.param(
            replace(ROLLED_BACK, restarts=replace(STAYED_OFF, served=1)),
            ["rolled back, but"],
            id="one answer of what was rolled back",
        ),
        pytest.param(
            replace(ROLLED_BACK, restarts=replace(STAYED_OFF, others_served=0)),
            ["rolled back, but"],
            id="a cache that answers nothing proves nothing",
        ),
        pytest.param(
            replace(ROLLED_BACK, restarts=replace(STAYED_OFF, problem="no worker")),
            ["rolled back, but"],
            id="not to the end",
        ),
        pytest.param(replace(ROLLED_BACK, restarts=None), ["rolled back, but"], id="not tried"),
    ],
)
def test_the_targets_of_the_rollout_are_missed_by_what_misses_them(
    result: RollbackResult, missed: list[str]
) -> None:
    figures = replace(compared(GOOD, seconds=25.0), rolled_back=result)
    unmet = [target.name for target in figures.rollout_targets if not target.met]
    assert [name.startswith(each) for name, each in zip(unmet, missed, strict=True)] == (
        [True] * len(missed)
    )
    assert figures.met is (not missed)
    console = Console(width=100, file=io.StringIO())
    print_rollout(console, figures)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("All targets met." in said) is (not missed)
    assert ("✗" in said) is bool(missed)
    document = json.loads(json.dumps(figures.as_dict()))
    assert [each["met"] for each in document["rollout_targets"]].count(False) == len(missed)


def compared(after: Run, seconds: float) -> Figures:
    samples = [
        Sample("product", 3.0, 0.1, "shared", False),
        Sample("product", 9.5, 0.25, "shared", False),
    ]
    return compare(
        front_end="fastapi",
        rate=100.0,
        seconds=seconds,
        before=make_run(0.010, 100),
        after=after,
        outage=Outage(start=2.0, end=9.0),
        samples=samples,
        partition_limit=30.0,
    )


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def against(handler: Handler, ask: Callable[[Connection], Awaitable[list[Reply]]]) -> list[Reply]:
    async def run() -> list[Reply]:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        connection = Connection("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            return await ask(connection)
        finally:
            connection.close()
            server.close()

    return asyncio.run(run())


async def twice(connection: Connection) -> list[Reply]:
    return [await connection.request("GET", "/"), await connection.request("GET", "/")]


def test_the_client_reads_chunks_and_sends_again_on_a_connection_that_was_closed_while_idle() -> (
    None
):
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    replies = against(answer_once, twice)
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"abcde")] * 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", id="half a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="no length"),
    ],
)
def test_an_answer_that_is_cut_short_is_a_failed_request(answer: bytes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    with pytest.raises(RequestError, match="GET /"):
        against(cut, twice)


def test_a_pool_says_which_shop_does_not_answer() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        pool = Pool(2)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RequestError, match=r"0 of 2 processes answer: .*status 503"):
            await pool.open("127.0.0.1", port, each=1, within=0.2)
        pool.close()
        server.close()

    asyncio.run(run())


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    front_end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(processes._NEEDED, front_end, ("json", "no_such_package_anywhere"))
    with pytest.raises(click.ClickException) as caught:
        check_extras(front_end)
    assert "no_such_package_anywhere" in caught.value.message
    assert 'pip install "cachemw[demo]"' in caught.value.message
    assert "json" not in caught.value.message


def test_a_shop_is_found_in_an_installed_package_and_beside_a_checkout_and_missed_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "cachemw"
    monkeypatch.setattr(processes, "HOME", tmp_path)
    with pytest.raises(click.ClickException, match="neither in the installed package nor"):
        find_shop()
    for folder in (tmp_path / "examples" / "shop", package / "examples" / "shop"):
        folder.mkdir(parents=True)
        (folder / "__main__.py").touch()
        found = find_shop()
        assert found.folder == folder
    assert (found.package, found.search) == ("cachemw.examples.shop", None)


def test_the_callers_own_settings_do_not_reach_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEMW_KILL", "1")
    monkeypatch.setenv("SHOP_CACHE", "off")
    environment = find_shop().environment(SHOP_DB="here")
    assert "CACHEMW_KILL" not in environment
    assert "SHOP_CACHE" not in environment
    assert environment["SHOP_DB"] == "here"
