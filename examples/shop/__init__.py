"""A shop over SQLite with three front ends, to see cachemw in front of something that costs."""

from __future__ import annotations

from pathlib import Path

from . import seed
from .database import Database, ShopError
from .reads import Reads, Shown
from .writes import Writes, Written

__all__ = ["Shop", "ShopError", "Shown", "Written", "open_shop"]


class Shop:
    """One data layer for all front ends."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self.reads = Reads(self._database)
        self.writes = Writes(self._database)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def open_shop() -> Shop:
    """Open the shop that `SHOP_DB` names (or the usual place), making it where there is none."""
    return Shop(seed.ensure(seed.default_path()))
