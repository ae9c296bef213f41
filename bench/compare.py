"""Two checkouts beside each other: the cost of a memory hit and of a miss in each.

    python -m bench.compare ../cachemw-before          this checkout, compared with that one

The unit is the bare call of the same process (see `asgi_calls`). The two checkouts take turns, in
processes of their own, so that a drift of the machine's speed concerns both. The ratio of the two
medians says what a change costs: 1.00 is "as before".
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

__all__ = ["main"]

HERE = Path(__file__).parents[1]
_WORKER = """
import asyncio, itertools, json
from statistics import median
from bench import asgi_calls, wsgi_calls
from bench.constants import URLS, config
from bench.timing import Subject, interleave
from cachemw import Cache, asgi, wsgi

numbers = itertools.count(1_000)
loop = asyncio.new_event_loop()
caches = [Cache.from_dict(config()) for _ in range(4)]
hit, missed = (asgi.CacheMiddleware(asgi_calls.bare, cache) for cache in caches[:2])
hit_wsgi, missed_wsgi = (wsgi.CacheMiddleware(wsgi_calls.bare, cache) for cache in caches[2:])

def new_urls(count=20):
    return [f"/products/{next(numbers)}" for _ in range(count)]

subjects = {
    "ASGI hit": asgi_calls.subject("ASGI hit", hit, loop),
    "WSGI hit": wsgi_calls.subject("WSGI hit", hit_wsgi),
    "ASGI miss": Subject("ASGI miss", lambda: asgi_calls.subject(
        "", missed, loop, calls=20, urls=new_urls()).round()),
    "WSGI miss": Subject("WSGI miss", lambda: wsgi_calls.subject(
        "", missed_wsgi, calls=20, urls=new_urls()).round()),
}
bare = [asgi_calls.subject("ASGI", asgi_calls.bare, loop), wsgi_calls.subject("WSGI", wsgi_calls.bare)]
times = interleave([*bare, *subjects.values()], ROUNDS)
print(json.dumps({
    name: median(own / base for own, base in zip(times[name], times[name[:4]], strict=True))
    for name in subjects
}))
"""


def measure(checkout: Path, rounds: int) -> dict[str, float]:
    """Return the bare calls that each subject costs in one checkout."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _WORKER.replace("ROUNDS", str(rounds))],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Compare two checkouts, and print a table."""
    parser = argparse.ArgumentParser(description="Compare a hit and a miss with another checkout.")
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("--turns", type=int, default=9, help="how often each is measured")
    parser.add_argument("--rounds", type=int, default=40, help="rounds in each measurement")
    given = parser.parse_args()
    here, other = [], []
    for turn in range(given.turns):
        pair = [(HERE, here), (given.other.resolve(), other)]
        for checkout, found in pair if turn % 2 else reversed(pair):
            found.append(measure(checkout, given.rounds))
    print(f"{'bare calls':<12}{'other':>8}{'here':>8}{'ratio':>8}   ratios of the turns")
    for name in here[0]:
        ratios = sorted(a[name] / b[name] for a, b in zip(here, other, strict=True))
        ours, theirs = (median(each[name] for each in found) for found in (here, other))
        print(
            f"{name:<12}{theirs:>8.2f}{ours:>8.2f}{median(ratios):>8.3f}"
            f"   {ratios[0]:.3f} to {ratios[-1]:.3f}"
        )


if __name__ == "__main__":
    main()
