"""What a child that `multiprocessing` spawns does: it follows the log, and returns."""

from __future__ import annotations

import json

from cachemw import Cache
from tests.support.waiting import until


def work(config: str) -> None:
    """Follow the log, and close nothing."""
    cache = Cache.from_dict(json.loads(config))
    cache.start()
    until(lambda: cache.log.live)
