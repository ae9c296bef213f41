"""A crowd that reads and changes the shop over both of its processes, and judges what it sees."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from cachemw.ops.load.client import Pool, Reply
from cachemw.ops.load.staleness import BOUND, Versions, changed_versions, shown_versions

CLIENTS = 8
WRITES = 0.08
PRODUCTS, CUSTOMERS, ORDERS = range(1, 31), range(1, 16), range(1, 11)
READS = {
    "product": [f"/products/{number}" for number in PRODUCTS],
    "inventory": [f"/inventory/{number}" for number in PRODUCTS],
    "customer": [f"/customers/{number}" for number in CUSTOMERS],
    "orders": [f"/orders?customer={number}" for number in CUSTOMERS],
    "order": [f"/orders/{number}" for number in ORDERS],
    "category": [f"/catalog/garden-{kind}" for kind in ("tools", "lights", "bags")],
    "products": [
        "/products",
        "/products?sort=-price&category=garden-tools",
        "/products?sort=popular&category=garden-lights",
    ],
}
KINDS = {path: kind for kind, paths in READS.items() for path in paths}
PATHS = list(KINDS)
SHORTEST = 30.0
"""Seconds that the shop keeps any of these, at least."""
FIGURES = ("place", "sold_recently", "lasts_days", "favourites", "price_bands", "total", "brands")
"""What answers show that is as old as their lifetime allows: the shop says so."""


class Write(NamedTuple):
    kind: str
    method: str
    path: str
    form: dict[str, Any]


@dataclass
class Precision:
    """Of entries that were there before some writes: what each of these purged, and had to."""

    changed: int = 0
    purged: int = 0
    """Those that had changed among them."""
    unchanged: int = 0
    stayed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.stayed / self.unchanged:.1%} of {self.unchanged} unchanged entries stayed hits,"
            f" {self.changed / self.purged:.0%} of {self.purged} purged ones had changed"
        )


class Crowd:
    """Clients of one run of the shop, all drawn from one seed."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool = pool
        self._dice = random.Random(seed)
        self.versions = Versions()

    async def mill_about(self, seconds: float) -> None:
        """Read and write at random, everybody at once."""
        ends = time.monotonic() + seconds

        async def be_a_client() -> None:
            while time.monotonic() < ends:
                worker = self._dice.randrange(self._pool.workers)
                if self._dice.random() < WRITES:
                    await self.write(worker)
                else:
                    await self.read(worker, self._dice.choice(PATHS))

        await asyncio.gather(*(be_a_client() for _ in range(CLIENTS)))

    async def read(self, worker: int, path: str) -> Reply:
        sent = time.monotonic()
        reply = await self._pool.request(worker, "GET", path)
        assert reply.status == 200, (path, reply)
        shown = shown_versions(KINDS[path], path, reply.body)
        self.versions.check_read(path, shown, sent, worker=worker)
        return reply

    async def write(self, worker: int) -> dict[str, int]:
        """Change something; gives the versions that it made."""
        kind, method, path, form = self._draw()
        reply = await self._pool.request(worker, method, path, json.dumps(form).encode())
        assert reply.status == 200, (path, reply)
        answered = time.monotonic()
        made = changed_versions(kind, json.loads(reply.body))
        for subject, version in made.items():
            self.versions.record_write(subject, version, answered, worker=worker)
        return made

    def _draw(self) -> Write:
        dice, product = self._dice, self._dice.choice(PRODUCTS)
        kind = dice.choice(("set price", "set stock", "place order"))
        if kind == "set price":
            return Write(kind, "PUT", f"/products/{product}", {"price": dice.randrange(99, 49_999)})
        if kind == "set stock":
            return Write(kind, "POST", f"/inventory/{product}", {"stock": dice.randrange(99, 999)})
        items = [{"product": product, "quantity": 1}]
        return Write(kind, "POST", "/orders", {"customer": dice.choice(CUSTOMERS), "items": items})

    async def differences(self) -> list[str]:
        """Give what the cache answers, when all purges have arrived, and the shop does not."""
        await asyncio.sleep(BOUND)
        found = []
        for worker in range(self._pool.workers):
            for path in PATHS:
                kept = (await self.read(worker, path)).body
                # A request with a body is sent past the cache.
                asked = (await self._pool.request(worker, "GET", path, b"{}")).body
                if differ(kept, asked):
                    found.append(f"{path} at {worker}: {kept!r}, not {asked!r}")
        return found

    async def precision(self, writes: int) -> Precision:
        """Write some times at one process; after each see at the other what is still a hit."""
        found = Precision()
        began = time.monotonic()
        await self._read_all()  # some are new to this process,
        before = await self._read_all()  # and now all are kept
        for _ in range(writes):
            if (
                time.monotonic() - began > SHORTEST / 2
            ):  # a slow machine: what is over is not purged
                break
            seen = await self._until_shown(await self.write(worker=1), worker=0)
            after = await self._read_all()
            for path, reply in after.items():
                changed = differ(reply.body, before[path].body)
                hit = path != seen and "; hit" in reply.headers["cache-status"]
                found.changed += changed
                found.purged += not hit
                found.unchanged += not changed
                found.stayed += hit and not changed
            before = after
        return found

    async def _until_shown(self, made: dict[str, int], worker: int) -> str:
        """Wait until a process shows what a write made, and has applied its purge; gives where."""
        subject, version = next(iter(made.items()))
        kind, _, number = subject.partition(":")
        path = READS[kind][int(number) - 1]
        async with asyncio.timeout(BOUND):
            while (
                shown_versions(kind, path, (await self.read(worker, path)).body)[subject] < version
            ):
                await asyncio.sleep(0.01)
        return path

    async def _read_all(self) -> dict[str, Reply]:
        replies = await asyncio.gather(*(self.read(0, path) for path in PATHS))
        return dict(zip(PATHS, replies, strict=True))


def differ(one: bytes, other: bytes) -> bool:
    """Say whether two answers to one request say different things of rows.

    Which products are listed is a figure too, so only those in both are compared.
    """
    (shown, items), (shown_too, items_too) = map(_rows, (one, other))
    both = items.keys() & items_too.keys()
    return shown != shown_too or any(items[id_] != items_too[id_] for id_ in both)


def _rows(body: bytes) -> tuple[Any, dict[int, Any]]:
    shown = json.loads(body)
    items = {item["id"]: _without(item, "sold", "sold_recently") for item in shown.pop("items", ())}
    return _without(shown, *FIGURES), items


def _without(shown: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in names}
