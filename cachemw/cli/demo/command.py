"""The command `cachemw demo` and the order of its parts.

1. Run the shop without the cache, measure how much traffic it can take, and send half of that.
2. Run it with the cache and the same traffic. Kill Valkey in the middle, and start it again.
3. Compare both runs with the targets.
4. Roll the cache out by a plan, make Valkey slow, and wait until a guardrail rolls back. Restart
   workers while Valkey is away: what was rolled back must stay off.

Each run has a fresh copy of the database, so the second one does not start with the first one's
writes.
"""

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

from cachemw.cli.common.printing import PrintableConsole
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
from cachemw.cli.demo.report import Screen, draw_figures, print_figures, print_rollout
from cachemw.cli.demo.restarts import RestartDrill
from cachemw.cli.demo.rollback import LENGTH, RollbackResult, roll_out
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
"""Length of the traffic before the measurement, as a share of the run: an empty cache saves nothing."""
OUTAGE_SECONDS: Final = 5.0
OUTAGE_AT: Final = 0.4
"""When Valkey is killed, as a share of the measured run."""
CONNECTIONS: Final = 8
"""Connections to each process of the shop."""
LOAD: Final = 0.5
"""The traffic's rate, as a share of the most that the shop can answer without a cache."""
MIRROR: Final = "flags.json"
"""The file in which a shop's processes mirror the live flags, for those that start without Valkey."""
RATES: Final = (20.0, 800.0)
"""Least and highest rate in requests per second: enough to measure, and no more than the client can
send on time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    """The settings that all runs of a demo share."""

    shop: Shop
    front_end: str
    world: World
    database: Path
    folder: Path
    screen: Screen
    seconds: float

    @property
    def warm_up(self) -> float:
        """Seconds of traffic before the measurement begins."""
        return WARM_UP * self.seconds


class _Files(NamedTuple):
    """The files that the figures are written to, if any."""

    json: Path | None
    svg: Path | None

    def write(self, figures: Figures) -> None:
        """Write the files that were asked for."""
        if self.json:
            text = json.dumps(figures.as_dict(), indent=2) + "\n"
            self.json.write_text(text, encoding="utf-8")
        if self.svg:
            self.svg.write_text(draw_figures(figures), encoding="utf-8")


@click.command(short_help="Run an example shop without and with the cache.")
@click.option("--django", "front_end", flag_value="django", help="Run the shop under Django.")
@click.option("--flask", "front_end", flag_value="flask", help="Run the shop under Flask.")
@click.option(
    "--fastapi", "front_end", flag_value="fastapi", help="Run the shop under FastAPI; the default."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=2, max=600),
    default=SECONDS,
    show_default=True,
    help="How long each of the two runs is measured. A short run has few hits.",
)
@click.option("--keep", is_flag=True, help="Keep the shop running, with the cache, until Ctrl-C.")
@click.option(
    "--rollout/--no-rollout",
    default=True,
    help="Whether to end with a rollout that a guardrail rolls back; takes about a minute.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the figures to this file as JSON.",
)
@click.option(
    "--svg",
    "svg_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Draw the figures into this file as SVG.",
)
def demo(
    front_end: str | None,
    seconds: float,
    keep: bool,
    rollout: bool,
    json_file: Path | None,
    svg_file: Path | None,
) -> None:
    """Run an example shop without and with the cache, and compare them.

    Two worker processes of a shop over SQLite answer the same traffic twice, writes included,
    first without the cache and then with it. A few products get most requests, as in a real shop
    (Zipf's law). In the middle of the second run Valkey, a server like Redis, is killed for five
    seconds. At the end the cache is rolled out by a plan, Valkey becomes slow, and a guardrail rolls
    the cache back. It stays off in workers that restart while Valkey is away. The exit status is 1 if
    a target is missed, else 0.
    A short run is not judged by its speed.
    """
    chosen = front_end or "fastapi"
    check_extras(chosen)
    screen = Screen(PrintableConsole())
    try:
        files = _Files(json_file, svg_file)
        figures = asyncio.run(_main(chosen, seconds, keep, rollout and not keep, screen, files))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.print_line("Stopped; nothing is left running.")
        raise SystemExit(130) from None
    raise SystemExit(0 if figures.met else 1)


async def _main(
    front_end: str, seconds: float, keep: bool, rollout: bool, screen: Screen, files: _Files
) -> Figures:
    _cancel_on(signal.SIGTERM, signal.SIGHUP)
    shop = find_shop()
    database, world = await shop.prepare()
    screen.print_line(
        f"[bold]{FRONT_ENDS[front_end]}[/bold]: {world.products:,} products,"
        f" {world.orders:,} orders in SQLite ({database} is kept for the next demo)"
    )
    testing = importlib.import_module("cachemw.testing")
    with (
        tempfile.TemporaryDirectory(prefix="cachemw-demo-") as folder,
        testing.RedisServer() as valkey,
    ):
        setup = _Setup(
            shop=shop,
            front_end=front_end,
            world=world,
            database=database,
            folder=Path(folder),
            screen=screen,
            seconds=seconds,
        )
        figures = await _compare(setup, valkey, keep, files, verdict=not rollout)
        if rollout:
            figures = replace(figures, rolled_back=await _roll_out(setup, valkey, figures.rate))
            print_rollout(screen.console, figures)
            files.write(figures)
        return figures


async def _compare(
    setup: _Setup, valkey: RedisServer, keep: bool, files: _Files, *, verdict: bool
) -> Figures:
    screen = setup.screen
    async with _shop(setup, "without", SHOP_CACHE="off") as (server, pool, counts):
        rate = await _find_rate(setup, pool)
        length = setup.warm_up + setup.seconds
        calls = make_traffic(setup.world, seconds=length, rate=rate, workers=WORKERS)
        screen.print_line(
            f"{len(calls):,} requests, {rate:.0f} a second (half of what the shop can answer without a"
            f" cache): {setup.warm_up:g} s to warm up, {setup.seconds:g} s measured"
        )
        replay = Replay(pool, setup.warm_up)
        before = summarise(replay, await _replay(setup, "without the cache", replay, calls, counts))
        _explain_failures(screen, server, replay)
    redis = valkey.url
    async with _shop(setup, "with", CACHEMW_REDIS=redis) as (server, pool, counts):
        replay = Replay(pool, setup.warm_up)
        async with asyncio.TaskGroup() as tasks:
            outage = tasks.create_task(_kill_for_a_while(setup, valkey, replay))
            origin_reads = await _replay(setup, "with the cache", replay, calls, counts)
        figures = compare(
            front_end=setup.front_end,
            rate=rate,
            seconds=setup.seconds,
            before=before,
            after=summarise(replay, origin_reads),
            outage=outage.result(),
            samples=replay.samples,
            partition_limit=setup.shop.partition_limit,
        )
        print_figures(screen.console, figures, verdict=verdict)
        files.write(figures)
        _explain_failures(screen, server, replay)
        if keep:
            screen.print_line(f"The shop answers at {server.url}/products/1 (Ctrl-C stops it)")
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return figures


async def _roll_out(setup: _Setup, valkey: RedisServer, rate: float) -> RollbackResult:
    """Roll the cache out, and return how it was rolled back; a proxy can make its Valkey slow."""
    screen = setup.screen
    screen.print_line(
        "\nA rollout in two phases, medium risk first; each lasts seconds instead of hours:"
    )
    testing = importlib.import_module("cachemw.testing")
    environment = {"CACHEMW_REDIS": valkey.url}
    config = load_config(setup.shop.folder / "cachemw.toml", environ=environment)
    config = replace(config, flags_mirror=False)  # nothing is left in the user's state folder
    with testing.ChaosProxy(valkey.url) as proxy:
        settings = {"CACHEMW_REDIS": proxy.url}
        async with _shop(setup, "rolled out", **settings) as (server, pool, counts):
            calls = make_traffic(
                setup.world, seconds=LENGTH, rate=rate, workers=WORKERS, seed=SEED + 2
            )
            replay = Replay(pool)
            reads = (call for call in calls if not call.is_write)
            drill = RestartDrill(server.port, pool, counts.parent / MIRROR, screen.print_line)
            result = await roll_out(replay, reads, config, proxy, drill, screen.print_line)
            _explain_failures(screen, server, replay)
    return result


@asynccontextmanager
async def _shop(
    setup: _Setup, name: str, **settings: str
) -> AsyncIterator[tuple[ShopServer, Pool, Path]]:
    """Run the shop on a fresh copy of its database.

    Yields the server, connections to both its processes, and the folder of its read counters. Beside
    that folder is the file in which the processes mirror the live flags.
    """
    folder = setup.folder / name
    counts = folder / "counts"
    counts.mkdir(parents=True)
    database = folder / "shop.db"
    shutil.copyfile(setup.database, database)
    paths = {
        "SHOP_DB": str(database),
        "SHOP_COUNTS": str(counts),
        "CACHEMW_FLAGS_MIRROR": str(folder / MIRROR),
    }
    server = ShopServer(setup.shop, setup.front_end, folder / "log", **paths, **settings)
    async with server:
        pool = Pool(WORKERS)
        try:
            await pool.open("127.0.0.1", server.port, each=CONNECTIONS, within=START_SECONDS)
            yield server, pool, counts
        except RequestError as error:
            raise click.ClickException(f"{error}\n{server.log()[-4000:]}") from error
        finally:
            pool.close()


async def _find_rate(setup: _Setup, pool: Pool) -> float:
    """Measure how much the shop can answer without a cache, and return the traffic's rate."""
    seconds = min(2.0, setup.seconds / 4)
    calls = make_traffic(
        setup.world, seconds=seconds, rate=4 * RATES[1], workers=WORKERS, seed=SEED + 1
    )
    most = await saturate(pool, calls, at_once=CONNECTIONS * WORKERS, seconds=seconds)
    least, limit = RATES
    return min(max(LOAD * most, least), limit)


async def _replay(setup: _Setup, name: str, replay: Replay, calls: list[Call], counts: Path) -> int:
    """Send the traffic, and return how many reads reached the shop after the warm-up."""
    with setup.screen.run(name, setup.warm_up + setup.seconds) as shown:

        async def watch() -> None:
            while True:
                await asyncio.sleep(0.25)
                shown.update(replay)

        async def count_warm_up() -> int:
            await asyncio.sleep(setup.warm_up)
            return _origin_reads(counts)

        watching = asyncio.create_task(watch())
        counting = asyncio.create_task(count_warm_up())
        try:
            await replay.run(calls)
            return _origin_reads(counts) - await counting
        finally:
            watching.cancel()
            counting.cancel()


async def _kill_for_a_while(setup: _Setup, valkey: RedisServer, replay: Replay) -> Outage:
    """Kill Valkey in the middle of the run, start it again, empty, and return when it was away."""
    at = setup.warm_up + OUTAGE_AT * setup.seconds
    await asyncio.sleep(at - BOUND)
    replay.away = True
    await asyncio.sleep(BOUND)
    start = replay.elapsed
    await asyncio.to_thread(valkey.kill)
    setup.screen.print_line(f"[yellow]{start:.1f} s: Valkey is killed[/yellow]")
    await asyncio.sleep(min(OUTAGE_SECONDS, setup.seconds / 4))
    await asyncio.to_thread(valkey.start)
    end = replay.elapsed
    setup.screen.print_line(f"[yellow]{end:.1f} s: Valkey is back, and empty[/yellow]")
    await asyncio.sleep(BOUND)
    replay.away = False
    return Outage(start=start, end=end)


def _explain_failures(screen: Screen, server: ShopServer, replay: Replay) -> None:
    if replay.failures:
        screen.print_line(
            f"Requests failed. The last lines that the shop printed:\n{server.log()[-2000:]}"
        )


def _origin_reads(counts: Path) -> int:
    return sum(int.from_bytes(file.read_bytes(), "little") for file in counts.iterdir())


def _cancel_on(*numbers: signal.Signals) -> None:
    """Cancel the demo on these signals, as Ctrl-C does, so that all it started is stopped first."""
    task = asyncio.current_task()
    assert task is not None
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
