"""Judges, from outside, whether a read showed less than a write had already been answered with.

Everything that a write changes carries a version that only grows. A read is judged by the writes
that had been *answered* before it was *sent*; one that overlaps a write may show either state.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Stale", "Versions", "changed_by", "shown_by"]

Subject = str
"""`product:7`, `inventory:7` or `customer:3`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """One answer that was older than it may have been."""

    path: str
    subject: Subject
    sent: float
    """When the read was sent, in seconds from the start of the run."""
    purge: str
    """What the write's purge had said: confirmed, appended or queued."""
    age: float
    """Seconds from the answer of the first write that it did not show to the read's sending."""


@dataclass(slots=True)
class Versions:
    """What has been answered to writers so far, and what readers then saw of it."""

    stale: list[Stale] = field(default_factory=list)
    judged: int = 0
    """Reads of something that had been written before they were sent."""
    _writes: dict[Subject, list[tuple[float, int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def wrote(self, subject: Subject, version: int, purge: str, answered: float) -> None:
        """Note a write's answer."""
        self._writes[subject].append((answered, version, purge))

    def read(self, path: str, shown: dict[Subject, int], sent: float) -> None:
        """Judge a read by the writes answered before it was sent."""
        written = [subject for subject in shown if subject in self._writes]
        known = {
            subject: [write for write in self._writes[subject] if write[0] <= sent]
            for subject in written
        }
        self.judged += any(known.values())
        for subject, writes in known.items():
            missed = [write for write in writes if write[1] > shown[subject]]
            if missed:
                # The strictest promise among the writes it missed is the one that was broken.
                purge = min((write[2] for write in missed), key=_STRICTNESS.index)
                first = min(write[0] for write in missed if write[2] == purge)
                stale = Stale(path=path, subject=subject, sent=sent, purge=purge, age=sent - first)
                self.stale.append(stale)

    def of(self, *purges: str) -> list[Stale]:
        """Return the stale answers to which a purge of that status had been promised."""
        return [stale for stale in self.stale if stale.purge in purges]


_STRICTNESS = ("confirmed", "off", "appended", "queued")


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
# Lists of products are not here: by configuration no purge reaches them, only their lifetime.
_SHOWN = {
    "product": _product,
    "category": _items,
    "inventory": _inventory,
    "customer": _customer,
    "orders": _orders,
}
_CHANGED = {"set price": _product, "set stock": _inventory, "place order": _placed}
