"""Two releases side by side on one server: neither reads what the other one wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachemw.stores.redis.codec import VERSION
from tests.support.caches import Caches, Site, options
from tests.support.waiting import until

from .following import STREAM

ROOT = Path(__file__).parents[2]
NEWER = VERSION + 1
PATH = "/things/7"
REFUSED = {"version": 1}


@dataclass
class Newer:
    """A process of a release to come."""

    process: subprocess.Popen[str]

    def read(self, path: str) -> dict[str, Any]:
        """Ask its site, whose memory is empty: whether it was a hit, and what was rejected so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))


@contextmanager
def newer(url: str, name_format: str) -> Iterator[Newer]:
    """Run a site whose envelopes are of the next version, under names of this format."""
    command = [sys.executable, "-m", "tests.redis.newer", str(NEWER), name_format]
    with subprocess.Popen(
        [*command, json.dumps(options(url))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "live\n"
            yield Newer(process)
        finally:
            process.kill()


def read(site: Site, path: str) -> dict[str, Any]:
    site.cache.memory.clear()
    is_hit = site.hits(path)
    return {"hit": is_hit, "rejected": dict(site.cache.stats().events.get("entry_rejected", {}))}


MISS: dict[str, Any] = {"hit": False, "rejected": {}}
HIT: dict[str, Any] = {"hit": True, "rejected": {}}


def test_each_release_sees_its_own_entries_only_and_all_purges(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: `FORMAT` in the names, which follows the version.
    site = Site(caches.make())
    with newer(caches.url, f"e{NEWER}") as other:
        assert [read(site, PATH), read(site, PATH)] == [MISS, HIT]
        assert [other.read(PATH), other.read(PATH)] == [MISS, HIT]
        assert read(site, PATH) == HIT
        entries = redis_server.command("KEYS", "cachemw:{shared:*}:e*")
        formats = sorted(name.rpartition(b":")[2].decode() for name in entries)
        assert formats == [f"e{VERSION}", f"e{NEWER}"]
        assert site.cache.purge(tags=["thing:7"]).confirmed
        assert [read(site, PATH), other.read(PATH)] == [MISS, MISS]


def test_another_version_under_the_same_name_is_a_counted_miss_and_is_written_over(
    caches: Caches,
) -> None:
    # Guard: the codec looks at the version before anything else that it says.
    site = Site(caches.make())
    with newer(caches.url, f"e{VERSION}") as other:
        assert other.read(PATH) == MISS
        assert read(site, PATH) == {"hit": False, "rejected": REFUSED}
        assert read(site, PATH) == {"hit": True, "rejected": REFUSED}
        assert other.read(PATH) == {"hit": False, "rejected": REFUSED}
        assert other.read(PATH) == {"hit": True, "rejected": REFUSED}


def test_a_record_that_this_release_does_not_know_purges_everything(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: `read_record` reads what it does not know as a purge of everything.
    site = Site(caches.make())
    assert [site.hits(PATH), site.hits(PATH)] == [False, True]
    redis_server.command("XADD", STREAM, "*", "k", "graph", "v", '["thing:8"]')
    until(lambda: not site.hits(PATH))
    assert site.calls == 2
    assert site.hits(PATH)
