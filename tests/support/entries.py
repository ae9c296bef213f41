"""Entries as tests need them."""

from __future__ import annotations

from typing import Any

from cachemw.engine.model.entry import Entry, EntryWithHoles, Position

__all__ = ["make_entry"]

POSITION = Position(b"epoch", 1)
_ENDS = ("fresh_until", "stale_until", "stale_error_until")


def make_entry(**fields: Any) -> Entry:
    """Return an entry with these fields: fresh for a minute, and dead when its last time is over."""
    given: dict[str, Any] = {
        "key": b"k",
        "status": 200,
        "headers": (),
        "body": b"",
        "route": "things",
        "born": 0.0,
        "position": POSITION,
        **fields,
    }
    ends = {name: given.get(name, given["born"] + 60.0) for name in _ENDS}
    kind = EntryWithHoles if "holes" in given else Entry
    return kind(**{"dies_at": max(ends.values()), **given, **ends})
