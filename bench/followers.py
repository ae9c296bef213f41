"""Processes that follow the log and do nothing else: `python -m bench.followers URL COUNT`.

Each is a cache of its own with its own thread and connection; many share one interpreter, for want
of a hundred machines.
"""

from __future__ import annotations

import sys
import time

from bench.constants import config
from cachemw import Cache

__all__ = ["main"]


def main(url: str, count: int) -> None:
    """Follow until standard input ends."""
    caches = [Cache.from_dict(config(redis={"url": url, "deadline": "1s"})) for _ in range(count)]
    for cache in caches:
        cache.start()
    while not all(cache.log.live for cache in caches):
        time.sleep(0.01)
    print("live", flush=True)
    sys.stdin.read()
    # Each would wait for its thread; a process that ends takes them all with it.


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
