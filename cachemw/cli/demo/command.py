"""`cachemw demo`: the example shop without the cache, then with it, over the same traffic."""

from __future__ import annotations

import asyncio
import importlib
import json
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from rich.console import Console

from cachemw.cli.demo.figures import Figures, Outage, compare, summarise
from cachemw.cli.demo.processes import (
    FRONT_ENDS,
    START_SECONDS,
    WORKERS,
    Shop,
    ShopServer,
    check_extras,
    find_shop,
)
from cachemw.cli.demo.report import Screen, draw_figures, print_figures, rolled_back_line
from cachemw.cli.demo.rollback import LENGTH, RolledBack, roll_out
from cachemw.config import load_config
from cachemw.ops.load.client import Pool, RequestError
from cachemw.ops.load.replay import Replay, saturate
from cachemw.ops.load.staleness import BOUND
from cachemw.ops.load.traffic import SEED, Call, World, make_traffic

if TYPE_CHECKING:
    from cachemw.testing import RedisServer

__all__ = ["demo"]

SECONDS: Final = 25.0
WARM_UP: Final = 0.2
"""Seconds of the same traffic before each run that are not measured, as a share of the run: a cold
cache says nothing of what it is worth."""
OUTAGE_SECONDS: Final = 5.0
OUTAGE_AT: Final = 0.4
"""When Valkey is killed, as a share of the run."""
CONNECTIONS: Final = 8
"""Per process of the shop."""
LOAD: Final = 0.5
"""The traffic's rate, as a share of what the shop can answer without a cache."""
RATES: Final = (20.0, 800.0)
"""Requests per second: enough to see something; no more than the client sends on time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """What the runs share."""

    shop: Shop
    front_end: str
    world: World
    database: Path
    folder: Path
    screen: Screen
    seconds: float

    @property
    def warm_up(self) -> float:
        """Seconds before the measured ones."""
        return WARM_UP * self.seconds


class _Files(NamedTuple):
    """Where the figures go besides the screen."""

    json: Path | None
    svg: Path | None

    def write(self, figures: Figures) -> None:
        """Write what is wanted."""
        if self.json:
            text = json.dumps(figures.as_dict(), indent=2) + "\n"
            self.json.write_text(text, encoding="utf-8")
        if self.svg:
            self.svg.write_text(draw_figures(figures), encoding="utf-8")


@click.command()
@click.option("--django", "front_end", flag_value="django", help="The shop under Django.")
@click.option("--flask", "front_end", flag_value="flask", help="The shop under Flask.")
@click.option("--fastapi", "front_end", flag_value="fastapi", help="Under FastAPI (the default).")
@click.option(
    "--seconds",
    type=click.FloatRange(min=2, max=600),
    default=SECONDS,
    show_default=True,
    help="How long each of the two runs is measured. A short one is mostly cold.",
)
@click.option("--keep", is_flag=True, help="Leave the shop running, with the cache, until Ctrl-C.")
@click.option(
    "--rollout/--no-rollout",
    default=True,
    help="Whether to roll the cache out at last, do harm, and see it taken back: half a minute.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the figures to this file.",
)
@click.option(
    "--svg",
    "svg_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Draw the figures into this file.",
)
def demo(
    front_end: str | None,
    seconds: float,
    keep: bool,
    rollout: bool,
    json_file: Path | None,
    svg_file: Path | None,
) -> None:
    """Show the cache at work in front of a shop, and what it is worth.

    Two worker processes of an example shop over SQLite answer the same Zipf-distributed traffic,
    writes included, without the cache and with it. In the middle of the second run Valkey is
    killed for five seconds. Then the cache is rolled out by a plan, Valkey gets slow, and the
    rollout takes itself back. Exits 0 if every target is met.
    """
    chosen = front_end or "fastapi"
    check_extras(chosen)
    screen = Screen(Console())
    try:
        files = _Files(json_file, svg_file)
        figures = asyncio.run(_main(chosen, seconds, keep, rollout and not keep, screen, files))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("Stopped; nothing is left running.")
        raise SystemExit(130) from None
    raise SystemExit(0 if figures.met else 1)


async def _main(
    front_end: str, seconds: float, keep: bool, rollout: bool, screen: Screen, files: _Files
) -> Figures:
    _end_on(signal.SIGTERM, signal.SIGHUP)
    shop = find_shop()
    database, world = await shop.prepare()
    screen.say(
        f"[bold]{FRONT_ENDS[front_end]}[/bold]: {world.products:,} products,"
        f" {world.orders:,} orders in SQLite (kept for the next time in {database})"
    )
    testing = importlib.import_module("cachemw.testing")
    with (
        tempfile.TemporaryDirectory(prefix="cachemw-demo-") as folder,
        testing.RedisServer() as valkey,
    ):
        stage = _Stage(
            shop=shop,
            front_end=front_end,
            world=world,
            database=database,
            folder=Path(folder),
            screen=screen,
            seconds=seconds,
        )
        figures = await _compare(stage, valkey, keep, files)
        if rollout:
            figures = replace(figures, rolled_back=await _roll_out(stage, valkey, figures.rate))
            files.write(figures)
        return figures


async def _compare(stage: _Stage, valkey: RedisServer, keep: bool, files: _Files) -> Figures:
    screen = stage.screen
    async with _shop(stage, "without", SHOP_CACHE="off") as (server, pool, counts):
        rate = await _find_rate(stage, pool)
        length = stage.warm_up + stage.seconds
        calls = make_traffic(stage.world, seconds=length, rate=rate, workers=WORKERS)
        screen.say(
            f"{len(calls):,} requests, {rate:.0f} a second (half of what the shop answers without a"
            f" cache): {stage.warm_up:g} s to warm up, {stage.seconds:g} s measured"
        )
        replay = Replay(pool, stage.warm_up)
        before = summarise(replay, await _replay(stage, "without the cache", replay, calls, counts))
        _explain_failures(screen, server, replay)
    redis = valkey.url
    async with _shop(stage, "with", CACHEMW_REDIS=redis) as (server, pool, counts):
        replay = Replay(pool, stage.warm_up)
        async with asyncio.TaskGroup() as tasks:
            breaking = tasks.create_task(_break(stage, valkey, replay))
            origin_reads = await _replay(stage, "with the cache", replay, calls, counts)
        figures = compare(
            front_end=stage.front_end,
            rate=rate,
            seconds=stage.seconds,
            before=before,
            after=summarise(replay, origin_reads),
            outage=breaking.result(),
            samples=replay.samples,
            partition_limit=stage.shop.partition_limit,
        )
        print_figures(screen.console, figures)
        files.write(figures)
        _explain_failures(screen, server, replay)
        if keep:
            screen.say(f"The shop answers at {server.url}/products/1 (Ctrl-C ends it)")
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return figures


async def _roll_out(stage: _Stage, valkey: RedisServer, rate: float) -> RolledBack:
    """Roll the cache out and see it taken back, in a fleet whose Valkey is behind a proxy."""
    screen = stage.screen
    screen.say(
        "\nA rollout, in seconds where a deployment has hours, of the classes medium, then all:"
    )
    testing = importlib.import_module("cachemw.testing")
    environment = {"CACHEMW_REDIS": valkey.url}
    config = load_config(stage.shop.folder / "cachemw.toml", environ=environment)
    with testing.ChaosProxy(valkey.url) as proxy:
        settings = {"CACHEMW_REDIS": proxy.url}
        async with _shop(stage, "rolled out", **settings) as (server, pool, _):
            calls = make_traffic(
                stage.world, seconds=LENGTH, rate=rate, workers=WORKERS, seed=SEED + 2
            )
            replay = Replay(pool)
            reads = (call for call in calls if not call.is_write)
            found = await roll_out(replay, reads, config, proxy, screen.say)
            _explain_failures(screen, server, replay)
    screen.say(rolled_back_line(found))
    return found


@asynccontextmanager
async def _shop(
    stage: _Stage, name: str, **settings: str
) -> AsyncIterator[tuple[ShopServer, Pool, Path]]:
    """Run the shop on a fresh copy of its database, with connections to both its processes."""
    folder = stage.folder / name
    counts = folder / "counts"
    counts.mkdir(parents=True)
    database = folder / "shop.db"
    shutil.copyfile(stage.database, database)
    paths = {"SHOP_DB": str(database), "SHOP_COUNTS": str(counts)}
    server = ShopServer(stage.shop, stage.front_end, folder / "log", **paths, **settings)
    async with server:
        pool = Pool(WORKERS)
        try:
            await pool.open("127.0.0.1", server.port, each=CONNECTIONS, within=START_SECONDS)
            yield server, pool, counts
        except RequestError as error:
            raise click.ClickException(f"{error}\n{server.log()[-4000:]}") from error
        finally:
            pool.close()


async def _find_rate(stage: _Stage, pool: Pool) -> float:
    """Measure what the shop can answer without a cache, and return the traffic's rate."""
    seconds = min(2.0, stage.seconds / 4)
    calls = make_traffic(
        stage.world, seconds=seconds, rate=4 * RATES[1], workers=WORKERS, seed=SEED + 1
    )
    most = await saturate(pool, calls, at_once=CONNECTIONS * WORKERS, seconds=seconds)
    least, limit = RATES
    return min(max(LOAD * most, least), limit)


async def _replay(stage: _Stage, name: str, replay: Replay, calls: list[Call], counts: Path) -> int:
    """Run the traffic and return how many reads the shop ran after the warm-up."""
    with stage.screen.run(name, stage.warm_up + stage.seconds) as shown:

        async def watch() -> None:
            while True:
                await asyncio.sleep(0.25)
                shown.update(replay)

        async def count_warm_up() -> int:
            await asyncio.sleep(stage.warm_up)
            return _origin_reads(counts)

        watching = asyncio.create_task(watch())
        counting = asyncio.create_task(count_warm_up())
        try:
            await replay.run(calls)
            return _origin_reads(counts) - await counting
        finally:
            watching.cancel()
            counting.cancel()


async def _break(stage: _Stage, valkey: RedisServer, replay: Replay) -> Outage:
    """Kill Valkey in the middle of the run, and bring it back, empty, after a while."""
    at = stage.warm_up + OUTAGE_AT * stage.seconds
    await asyncio.sleep(at - BOUND)
    replay.away = True
    await asyncio.sleep(BOUND)
    start = replay.elapsed
    await asyncio.to_thread(valkey.kill)
    stage.screen.say(f"[yellow]{start:.1f} s: Valkey is killed[/yellow]")
    await asyncio.sleep(min(OUTAGE_SECONDS, stage.seconds / 4))
    await asyncio.to_thread(valkey.start)
    end = replay.elapsed
    stage.screen.say(f"[yellow]{end:.1f} s: Valkey is back, and empty[/yellow]")
    await asyncio.sleep(BOUND)
    replay.away = False
    return Outage(start=start, end=end)


def _explain_failures(screen: Screen, server: ShopServer, replay: Replay) -> None:
    if replay.failures:
        screen.say(f"Requests failed. What the shop printed last:\n{server.log()[-2000:]}")


def _origin_reads(counts: Path) -> int:
    return sum(int.from_bytes(file.read_bytes(), "little") for file in counts.iterdir())


def _end_on(*numbers: signal.Signals) -> None:
    """Let these signals end the demo as Ctrl-C does: everything it started is ended first."""
    task = asyncio.current_task()
    assert task is not None
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
