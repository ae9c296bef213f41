"""Run a cache in a process of its own until its standard input ends: `follower.py CONFIG-IN-JSON`."""

from __future__ import annotations

import json
import sys
import time

from cachemw import Cache
from tests.support.caches import Site


def main() -> None:
    cache = Cache.from_dict(json.loads(sys.argv[1]))
    cache.start()
    while not cache.log.live:
        time.sleep(0.002)
    site = Site(cache)
    print("live", flush=True)
    for line in sys.stdin:
        if line.startswith("route "):
            states = cache.flags.states()
            print(states["route:" + line.split()[1]], flush=True)
        elif line.startswith("get "):
            print(site.get(line.split()[1]).cache_status, flush=True)
    cache.close()


if __name__ == "__main__":
    main()
