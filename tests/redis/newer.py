"""A site of a release whose envelopes are others: `python -m tests.redis.newer VERSION FORMAT CONFIG`.

Each line of standard input is a path to ask for; a line of JSON says what came of it.
"""

from __future__ import annotations

import json
import sys

from cachemw import Cache
from cachemw.stores.redis import codec
from cachemw.stores.redis import tier as redis
from tests.support.caches import Site
from tests.support.waiting import until


def main() -> None:
    codec.VERSION, redis.FORMAT = int(sys.argv[1]), sys.argv[2]
    site = Site(Cache.from_dict(json.loads(sys.argv[3])))
    site.cache.start()
    until(lambda: site.cache.log.live)
    print("live", flush=True)
    for line in sys.stdin:
        site.cache.memory.clear()
        is_hit = site.hits(line.strip())
        rejected = site.cache.stats().events.get("entry_rejected", {})
        print(json.dumps({"hit": is_hit, "rejected": dict(rejected)}), flush=True)
    site.cache.close()


if __name__ == "__main__":
    main()
