"""The knowledge of keys is bounded, and the newer of two counts."""

from __future__ import annotations

from typing import Any

from cachemw.engine.model.entry import Learned, Position
from cachemw.learning.known_answers import KnownAnswers


def learned(**changes: Any) -> Learned:
    fields: dict[str, Any] = {
        "content": b"1",
        "seen_at": 1.0,
        "position": Position(b"", 0),
        "fresh_until": 2.0,
        "lifetime": 1.0,
        "free": True,
        "changes": 1.0,
        "seconds": 1.0,
        "asked": 1.0,
        "waited": 1.0,
    }
    return Learned(**{**fields, **changes})


def test_the_newer_one_counts() -> None:
    known, old, new = KnownAnswers(10), learned(), learned(seen_at=2.0)
    assert known.get(b"a", None) is None
    assert known.get(b"a", old) is old
    known.put(b"a", new)
    assert known.get(b"a", None) is new
    assert known.get(b"a", old) is new
    newer = learned(seen_at=3.0)
    assert known.get(b"a", newer) is newer


def test_the_least_recently_used_are_forgotten() -> None:
    known = KnownAnswers(3)
    for number in range(3):
        known.put(b"%d" % number, learned())
    known.get(b"0", None)
    known.put(b"3", learned())
    assert len(known) == 3
    assert [known.get(b"%d" % number, None) is not None for number in range(4)] == [
        *(True, False, True, True)
    ]
