"""Two processes of the shop over one Redis: nothing is served as it was before a write, and little goes.

No line of the shop purges anything; the recorders of its frameworks do. What a write changes must be
shown by reads that are sent after its answer: at once in the process that wrote, `BOUND` later in
the other one. `CACHEMW_SHOP_SECONDS` makes it look for longer, `CACHEMW_SHOP_SEED` again.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cachemw.cli.demo.processes import START_SECONDS, WORKERS, Shop, ShopServer, _command
from cachemw.ops.load.client import Pool
from cachemw.testing import RedisServer

from .crowd import CLIENTS, Crowd, Precision

pytestmark = pytest.mark.thorough

SECONDS = float(os.environ.get("CACHEMW_SHOP_SECONDS", "4"))
SEED = int(os.environ.get("CACHEMW_SHOP_SEED", random.randrange(10**6)))
WRITES = 12
STAYED = 0.95
"""The share of entries that a write did not change and that must stay hits."""


@asynccontextmanager
async def crowd_at(
    shop: Shop, front_end: str, database: Path, altered: str = ""
) -> AsyncIterator[Crowd]:
    """Run two processes of the shop, perhaps with less of its recorder."""
    print(f"CACHEMW_SHOP_SEED={SEED}")
    with RedisServer() as redis:
        settings = {"SHOP_DB": str(database), "CACHEMW_REDIS": redis.url}
        if altered:
            here = str(Path(__file__).parent)
            search = os.pathsep.join(filter(None, [here, shop.environment().get("PYTHONPATH")]))
            module = f"{shop.package}.{front_end}_app"
            settings |= {"ALTERED": altered, "ALTERED_FROM": module, "PYTHONPATH": search}
        server = ShopServer(shop, front_end, database.with_suffix(".log"), **settings)
        if altered:
            server._command = _command(front_end, "altered")
        async with server:
            pool = Pool(WORKERS)
            try:
                await pool.open("127.0.0.1", server.port, each=CLIENTS, within=START_SECONDS)
                yield Crowd(pool, SEED)
            finally:
                pool.close()


@pytest.mark.parametrize("front_end", ["fastapi", "flask", "django"])
def test_what_is_written_is_shown_by_every_process_and_all_else_stays(
    shop: Shop, database: Path, front_end: str
) -> None:
    async def main() -> tuple[Crowd, list[str], Precision]:
        async with crowd_at(shop, front_end, database) as crowd:
            await crowd.mill_about(SECONDS)
            return crowd, await crowd.differences(), await crowd.precision(WRITES)

    async def compare() -> Precision:
        async with crowd_at(shop, front_end, database, altered="tables") as crowd:
            return await crowd.precision(WRITES)

    crowd, differences, rows = asyncio.run(main())
    tables = asyncio.run(compare())
    print(f"{front_end}: {len(crowd.versions.stale)} of {crowd.versions.judged} judged reads stale")
    print(f"by rows:   {rows}\nby tables: {tables}")
    assert crowd.versions.judged > 100
    assert crowd.versions.stale == []
    assert differences == []
    assert rows.stayed / rows.unchanged >= STAYED
    assert rows.stayed / rows.unchanged > tables.stayed / tables.unchanged
    assert rows.changed / rows.purged > tables.changed / tables.purged


@pytest.mark.parametrize("front_end", ["fastapi", "django"])
def test_without_a_recorder_old_answers_are_seen(
    shop: Shop, database: Path, front_end: str
) -> None:
    """So that a test which sees none cannot be one that does not look."""

    async def main() -> tuple[Crowd, list[str]]:
        async with crowd_at(shop, front_end, database, altered="without") as crowd:
            await crowd.mill_about(2)
            return crowd, await crowd.differences()

    crowd, differences = asyncio.run(main())
    assert crowd.versions.stale
    assert differences
