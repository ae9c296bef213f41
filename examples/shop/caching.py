"""Where the shop meets its cache: the same for all three front ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachemw import Cache

CONFIG = Path(__file__).with_name("cachemw.toml")


def is_on() -> bool:
    """Whether there is a cache: `SHOP_CACHE=off` runs the shop as it was before it had one."""
    return os.environ.get("SHOP_CACHE", "on") != "off"


def open_cache() -> Cache | None:
    """Open the cache that `cachemw.toml` describes; `CACHEMW_REDIS` names its Redis, if any."""
    if not is_on():
        return None
    from cachemw import Cache

    return Cache.from_file(CONFIG)
