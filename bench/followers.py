"""Caches that only follow the invalidation log: `python -m bench.followers URL COUNT`.

Each stands for one process: it has a thread and a connection of its own. Many share one interpreter,
because one machine cannot run a hundred.
"""

from __future__ import annotations

import sys
import time

from bench.constants import config
from cachemw import Cache

__all__ = ["main"]


def main(url: str, count: int) -> None:
    """Follow the log until standard input ends."""
    caches = [Cache.from_dict(config(redis={"url": url, "deadline": "1s"})) for _ in range(count)]
    for cache in caches:
        cache.start()
    while not all(cache.log.live for cache in caches):
        time.sleep(0.01)
    print("live", flush=True)
    sys.stdin.read()
    # Not closed one by one: each would wait for its thread, and the end of the process stops them all.


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
