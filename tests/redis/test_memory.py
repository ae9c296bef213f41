"""What another process purges leaves this one's memory, though nobody asks here for anything."""

from __future__ import annotations

from tests.support.caches import Caches, Site
from tests.support.waiting import until


def test_a_purge_of_everything_elsewhere_empties_this_memory(caches: Caches) -> None:
    """Fails where the log's thread does not look, once a second."""
    here, there = caches.make(), caches.make()
    site = Site(here)
    for number in range(50):
        site.get(f"/things/{number}")
    assert len(here.memory) == 50
    there.purge(everything=True)
    until(lambda: len(here.memory) == 0)
