"""What a process remembers of the purges before now, for people to look at."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("tags", [("db:?", "db:shop:1"), ("db:*",)])
def test_purges_of_a_recorder_leave_room_for_the_others(tags: tuple[str, ...]) -> None:
    recent = RecentPurges()
    recent.add(Purge(tags=("by:hand", "db:shop:1")), 1.0)
    for number in range(1000):
        recent.add(Purge(tags=tags), 2.0 + number)
    recent.add(Purge(tags=None), 2000.0)
    newest = recent.newest_first()
    assert [purge.recorded for purge in newest] == [False, *[True] * 100, False]
    assert [purge.at for purge in newest] == [2000.0, *(1001.0 - n for n in range(100)), 1.0]
    recent.clear()
    assert recent.newest_first() == []


def test_the_log_of_one_process_tells_when_by_the_clock_it_was_given() -> None:
    log = LocalLog(10, lambda: 7.0)
    log.purge(Purge(tags=("a",)))
    assert log.recent() == [PastPurge(at=7.0, tags=("a",), more=0, soft=False)]
