"""The traffic: which request is sent when.

It is made from a seed alone, so that two runs get the same requests. Popularity follows Zipf's law,
as measured on real sites: of products sorted by popularity, the n-th is requested in proportion to
n ** -s. Arrivals are a Poisson process with a fixed mean rate: clients do not wait for one another,
so a slow answer does not reduce the requests that follow it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

__all__ = ["ZIPF", "Call", "World", "checks_after", "make_traffic"]

ZIPF: Final = 1.2
"""The exponent s of Zipf's law."""
SEED: Final = 7

_SORTS: Final = ("name", "popular", "price", "-price", "rating")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How much the shop contains; `python -m shop` prints it."""

    products: int
    customers: int
    orders: int
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `at` is in seconds from the start of a run."""

    at: float
    worker: int
    """The number of the shop's process that it is sent to, the same in both runs."""
    kind: str
    path: str
    method: str = "GET"
    body: bytes = b""

    @property
    def is_write(self) -> bool:
        """Whether the request changes the shop."""
        return self.method != "GET"


class _Dice:
    """Random choices of what a request is about."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self._weights = list(accumulate(rank**-ZIPF for rank in range(1, world.products + 1)))

    def product(self) -> int:
        """Return a product number; low numbers are popular, as in the shop's orders."""
        return self._ranked(self.world.products)

    def category(self) -> str:
        return self.world.categories[self._ranked(len(self.world.categories)) - 1]

    def customer(self) -> int:
        return self._ranked(self.world.customers)

    def order(self) -> int:
        return self.world.orders + 1 - self._ranked(self.world.orders)

    def _ranked(self, count: int) -> int:
        count = min(count, len(self._weights))
        return self.random.choices(range(1, count + 1), cum_weights=self._weights[:count])[0]


def _listing(dice: _Dice) -> str:
    page = min(dice.random.choices((1, 2, 3, 4), (70, 18, 8, 4)))
    sort = dice.random.choices(_SORTS, (30, 40, 15, 5, 10))[0]
    everything = dice.random.random() < 0.25
    category = "" if everything else f"&category={dice.category()}"
    return f"/products?page={page}&sort={sort}{category}"


def _order(dice: _Dice) -> bytes:
    lines = [{"product": dice.product(), "quantity": 1} for _ in range(dice.random.randint(1, 2))]
    return json.dumps({"customer": dice.customer(), "items": lines}).encode()


def _price(dice: _Dice) -> bytes:
    return json.dumps({"price": dice.random.randrange(199, 49_999)}).encode()


def _stock(dice: _Dice) -> bytes:
    return json.dumps({"stock": dice.random.randrange(2_000, 5_000)}).encode()


# kind: (weight in percent, method, path, body). 2 % are writes. Popular products change most often.
_Maker = tuple[float, str, Callable[[_Dice], str], Callable[[_Dice], bytes] | None]
_MIX: Final[dict[str, _Maker]] = {
    "product": (38, "GET", lambda dice: f"/products/{dice.product()}", None),
    "products": (18, "GET", _listing, None),
    "category": (12, "GET", lambda dice: f"/catalog/{dice.category()}", None),
    "catalog": (6, "GET", lambda _: "/catalog", None),
    "recommendations": (9, "GET", lambda dice: f"/recommendations/{dice.product()}", None),
    "inventory": (7, "GET", lambda dice: f"/inventory/{dice.product()}", None),
    "customer": (2, "GET", lambda dice: f"/customers/{dice.customer()}", None),
    "orders": (2, "GET", lambda dice: f"/orders?customer={dice.customer()}", None),
    "order": (2, "GET", lambda dice: f"/orders/{dice.order()}", None),
    "metrics": (1, "GET", lambda _: "/metrics", None),
    "logs": (0.5, "GET", lambda _: "/logs", None),
    "healthcheck": (0.5, "GET", lambda _: "/healthcheck", None),
    "set price": (1, "PUT", lambda dice: f"/products/{dice.product()}", _price),
    "set stock": (0.4, "POST", lambda dice: f"/inventory/{dice.product()}", _stock),
    "place order": (0.6, "POST", lambda _: "/orders", _order),
}


def make_traffic(
    world: World, *, seconds: float, rate: float, workers: int, seed: int = SEED
) -> list[Call]:
    """Return the requests of a run, in order; `rate` is their mean number per second."""
    dice = _Dice(world, seed)
    kinds, weights = list(_MIX), [maker[0] for maker in _MIX.values()]
    calls: list[Call] = []
    at = dice.random.expovariate(rate)
    while at < seconds:
        kind = dice.random.choices(kinds, weights)[0]
        _, method, path, body = _MIX[kind]
        calls.append(
            Call(
                at=at,
                worker=dice.random.randrange(workers),
                kind=kind,
                method=method,
                path=path(dice),
                body=body(dice) if body else b"",
            )
        )
        at += dice.random.expovariate(rate)
    return calls


def checks_after(subjects: list[str], due: Sequence[float]) -> list[Call]:
    """Return reads of what a write changed: one for each process, sent when it must show the write."""
    shown_by = {"product": "/products/", "inventory": "/inventory/", "customer": "/customers/"}
    calls = []
    for subject in subjects:
        kind, _, number = subject.partition(":")
        path = f"{shown_by[kind]}{number}"
        calls += [
            Call(at=at, worker=worker, kind="check", path=path) for worker, at in enumerate(due)
        ]
    return calls
