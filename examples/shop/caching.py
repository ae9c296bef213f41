"""The shop's cache, the same under all three frameworks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachemw import Cache

CONFIG = Path(__file__).with_name("cachemw.toml")


def is_on() -> bool:
    """Tell whether the shop uses its cache: not with `SHOP_CACHE=off`."""
    return os.environ.get("SHOP_CACHE", "on") != "off"


def open_cache() -> Cache | None:
    """Return the cache that `cachemw.toml` describes; `CACHEMW_REDIS` may name its Redis."""
    if not is_on():
        return None
    from cachemw import Cache

    return Cache.from_file(CONFIG)
