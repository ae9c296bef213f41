"""The check for stale answers, made from outside.

Everything that a write changes has a version that only grows. A read must show each write that was
*answered* before the read was *sent*. A read that overlaps a write may show the state before it or
after it. A read at another process than the write's may show the old state for `BOUND` seconds more,
because the purge has to reach that process first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = ["BOUND", "StaleRead", "Versions", "changed_versions", "shown_versions"]

BOUND: Final = 1.0
"""Seconds within which a purge must reach every process. It usually takes a hundredth of that; the
rest is for machines that are busy with the demo itself."""

Subject = str
"""What a version belongs to: `product:7`, `inventory:7` or `customer:3`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleRead:
    """One answer that was older than it may be."""

    path: str
    subject: Subject
    sent: float
    """When the read was sent, in seconds from the start of the run."""
    away: bool
    """Whether Valkey was away when the write was answered, so that no purge could reach others."""
    age: float
    """Seconds from the answer of the first write that is missing to the sending of the read."""


class _Write(NamedTuple):
    """The version that one write gave to a subject."""

    answered: float
    version: int
    worker: int
    away: bool

    def must_show(self, worker: int, sent: float) -> bool:
        """Tell whether a read that was sent then to that process must show this write."""
        return self.answered + (0 if worker == self.worker else BOUND) <= sent


@dataclass(slots=True)
class Versions:
    """The writes answered so far, and the reads that did not show them."""

    stale: list[StaleRead] = field(default_factory=list)
    judged: int = 0
    """Number of reads that had to show a write."""
    _writes: dict[Subject, list[_Write]] = field(default_factory=lambda: defaultdict(list))

    def record_write(
        self, subject: Subject, version: int, answered: float, *, worker: int, away: bool = False
    ) -> None:
        """Record the answer to a write."""
        self._writes[subject].append(_Write(answered, version, worker, away))

    def check_read(self, path: str, shown: dict[Subject, int], sent: float, *, worker: int) -> None:
        """Check a read against the writes that it must show."""
        written = [subject for subject in shown if subject in self._writes]
        required = {
            subject: [write for write in self._writes[subject] if write.must_show(worker, sent)]
            for subject in written
        }
        self.judged += any(required.values())
        for subject, writes in required.items():
            missing = [write for write in writes if write.version > shown[subject]]
            if missing:
                # A write made while Valkey was reachable had to arrive sooner, so it decides if there is one.
                away = all(write.away for write in missing)
                first = min(write.answered for write in missing if write.away is away)
                stale = StaleRead(
                    path=path, subject=subject, sent=sent, away=away, age=sent - first
                )
                self.stale.append(stale)


def shown_versions(kind: str, path: str, body: bytes) -> dict[Subject, int]:
    """Return the versions that the answer to a read shows."""
    if kind == "check":
        kind = _KIND_BY_PREFIX[path.split("/")[1]]
    return dict(_SHOWN[kind](json.loads(body))) if kind in _SHOWN else {}


def changed_versions(kind: str, answer: Any) -> dict[Subject, int]:
    """Return the versions that a write made; `answer` is its decoded body."""
    return dict(_CHANGED[kind](answer))


_Pairs = Iterator[tuple[Subject, int]]


def _product(shown: Any) -> _Pairs:
    yield f"product:{shown['id']}", shown["version"]


def _items(shown: Any) -> _Pairs:
    for item in shown["items"]:
        yield from _product(item)


def _inventory(shown: Any) -> _Pairs:
    yield f"inventory:{shown['product']}", shown["version"]


def _customer(shown: Any) -> _Pairs:
    yield f"customer:{shown['id']}", shown["version"]


def _orders(shown: Any) -> _Pairs:
    yield from _customer(shown["customer"])


def _placed(answer: Any) -> _Pairs:
    yield from _customer(answer["customer"])
    for stock in answer["stock"]:
        yield from _inventory(stock)


_KIND_BY_PREFIX = {"products": "product", "inventory": "inventory", "customers": "customer"}
_SHOWN = {
    "product": _product,
    "products": _items,
    "category": _items,
    "inventory": _inventory,
    "customer": _customer,
    "orders": _orders,
}
_CHANGED = {"set price": _product, "set stock": _inventory, "place order": _placed}
