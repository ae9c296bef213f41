"""Judges, from outside, whether a read showed less than a write had already been answered with.

Everything that a write changes carries a version that only grows. A read is judged by the writes
that had been *answered* before it was *sent*; one that overlaps a write may show either state, and
one at another process than the write's may for `BOUND` more.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = ["BOUND", "Stale", "Versions", "changed_by", "shown_by"]

BOUND: Final = 1.0
"""Seconds within which a purge has reached every process. It takes a hundredth of that: this is for
machines that are busy with the demo itself."""

Subject = str
"""`product:7`, `inventory:7` or `customer:3`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """One answer that was older than it may have been."""

    path: str
    subject: Subject
    sent: float
    """When the read was sent, in seconds from the start of the run."""
    away: bool
    """Whether Valkey was away when the write was answered, so that other processes could not hear."""
    age: float
    """Seconds from the answer of the first write that it did not show to the read's sending."""


class _Write(NamedTuple):
    """What one write made of a subject."""

    answered: float
    version: int
    worker: int
    away: bool

    def binds(self, worker: int, sent: float) -> bool:
        """Whether a read that is sent then to that process must show it."""
        return self.answered + (0 if worker == self.worker else BOUND) <= sent


@dataclass(slots=True)
class Versions:
    """What has been answered to writers so far, and what readers then saw of it."""

    stale: list[Stale] = field(default_factory=list)
    judged: int = 0
    """Reads of something that had been written before they were sent."""
    _writes: dict[Subject, list[_Write]] = field(default_factory=lambda: defaultdict(list))

    def wrote(
        self, subject: Subject, version: int, answered: float, *, worker: int, away: bool = False
    ) -> None:
        """Note a write's answer."""
        self._writes[subject].append(_Write(answered, version, worker, away))

    def read(self, path: str, shown: dict[Subject, int], sent: float, *, worker: int) -> None:
        """Judge a read by the writes that it must show."""
        written = [subject for subject in shown if subject in self._writes]
        known = {
            subject: [write for write in self._writes[subject] if write.binds(worker, sent)]
            for subject in written
        }
        self.judged += any(known.values())
        for subject, writes in known.items():
            missed = [write for write in writes if write.version > shown[subject]]
            if missed:
                # The strictest promise among the writes it missed is the one that was broken.
                away = all(write.away for write in missed)
                first = min(write.answered for write in missed if write.away is away)
                stale = Stale(path=path, subject=subject, sent=sent, away=away, age=sent - first)
                self.stale.append(stale)


def shown_by(kind: str, path: str, body: bytes) -> dict[Subject, int]:
    """Return the versions that a read's answer shows."""
    if kind == "check":
        kind = _KIND_BY_PREFIX[path.split("/")[1]]
    return dict(_SHOWN[kind](json.loads(body))) if kind in _SHOWN else {}


def changed_by(kind: str, answer: Any) -> dict[Subject, int]:
    """Return the versions that a write's decoded answer made."""
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
