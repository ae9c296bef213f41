"""A site whose log lines can be seen: `python -m tests.redis.speaking CONFIG`.

Each line of standard input is a path to ask for; a line says how many request lines were logged so far.
"""

from __future__ import annotations

import json
import logging
import sys

from cachemw import Cache
from tests.support.caches import Site
from tests.support.waiting import until


class Lines(logging.Handler):
    """Counts the lines that tell of requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.requests += record.getMessage().startswith("event=request ")


def main() -> None:
    lines = Lines()
    logging.getLogger("cachemw").addHandler(lines)
    site = Site(Cache.from_dict(json.loads(sys.argv[1])))
    site.cache.start()
    until(lambda: site.cache.log.live)
    print("live", flush=True)
    for line in sys.stdin:
        site.get(line.strip())
        print(lines.requests, flush=True)
    site.cache.close()


if __name__ == "__main__":
    main()
