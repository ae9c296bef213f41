"""What a process remembers of the purges before now, for people to look at."""

from __future__ import annotations

from cachemw.invalidation.local import LocalLog
from cachemw.invalidation.purges import Purge
from cachemw.invalidation.recent_purges import PastPurge, RecentPurges


def test_the_newest_come_first() -> None:
    recent = RecentPurges()
    recent.add(Purge(tags=("a",)), 1.0)
    recent.add(Purge(tags=None, soft=True), 2.0)
    assert recent.newest_first() == [
        PastPurge(at=2.0, tags=None, more=0, soft=True),
        PastPurge(at=1.0, tags=("a",), more=0, soft=False),
    ]


def test_no_more_are_remembered_than_there_is_room_for() -> None:
    """Fails without the limits: of purges, and of the tags of each."""
    recent = RecentPurges()
    for number in range(1000):
        recent.add(Purge(tags=tuple(f"{number}:{index}" for index in range(1000))), number)
    newest = recent.newest_first()
    assert [purge.at for purge in newest] == [999 - index for index in range(100)]
    assert newest[0].tags == tuple(f"999:{index}" for index in range(10))
    assert {purge.more for purge in newest} == {990}


def test_the_log_of_one_process_tells_when_by_the_clock_it_was_given() -> None:
    log = LocalLog(10, lambda: 7.0)
    log.purge(Purge(tags=("a",)))
    assert log.recent() == [PastPurge(at=7.0, tags=("a",), more=0, soft=False)]
