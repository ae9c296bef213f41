"""The metadata of an envelope: all of an entry or Vary marker but its key, its body and its position.

The times of an entry are on the monotonic clock of its process. In the metadata they are on the Redis
server's clock: `codec` says why.
"""

from __future__ import annotations

import sys
from functools import partial
from math import isfinite

import msgspec

from cachemw.engine.model.entry import (
    Entry,
    EntryWithHoles,
    HeaderPairs,
    Item,
    Learned,
    Position,
    VaryMarker,
)
from cachemw.engine.model.holes import Hole
from cachemw.stores.memory.interning import intern_pairs

__all__ = ["MARKER", "MAX_LIFETIME", "Meta", "entry_of", "marker_of", "meta_of"]

MARKER = 0
"""The status under which a Vary marker is written, which is not a response and has none."""
MAX_LIFETIME = 366 * 86_400.0
"""Seconds: a year, the most that RFC 2616 §14.21 recommended, and a leap day."""


class LearnedMeta(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """The knowledge of the key, without what the entry says anyway."""

    content: bytes
    seen_at: float
    lifetime: float
    free: bool
    refreshes: int
    changes: float
    seconds: float
    asked: float
    waited: float


class Meta(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """The metadata, with its times on the server's clock."""

    status: int
    headers: HeaderPairs
    tags: tuple[str, ...]
    vary: tuple[tuple[bytes, bytes | None], ...]
    route: str
    born: float
    fresh_until: float
    stale_until: float
    stale_error_until: float
    dies_at: float
    holes: tuple[Hole, ...]
    learned: LearnedMeta | None


def meta_of(entry: Item, shift: float) -> Meta:
    """Return the metadata of an entry, with its times moved by `shift` and cut to `MAX_LIFETIME`."""
    born = entry.born + shift
    fresh_until = min(entry.fresh_until + shift, born + MAX_LIFETIME)
    longest = fresh_until + MAX_LIFETIME
    stale_until = stale_error_until = fresh_until
    learned = None
    if isinstance(entry, VaryMarker):
        status = MARKER
        vary: tuple[tuple[bytes, bytes | None], ...] = tuple((name, None) for name in entry.names)
    else:
        status, vary = entry.status, entry.vary
        stale_until = min(entry.stale_until + shift, longest)
        stale_error_until = min(entry.stale_error_until + shift, longest)
        learned = None if entry.learned is None else _written(entry.learned, shift)
    return Meta(
        status,
        entry.headers,
        entry.tags,
        vary,
        entry.route,
        born,
        fresh_until,
        stale_until,
        stale_error_until,
        min(entry.dies_at + shift, longest),
        entry.holes if isinstance(entry, EntryWithHoles) else (),
        learned,
    )


def _written(learned: Learned, shift: float) -> LearnedMeta:
    return LearnedMeta(
        learned.content,
        learned.seen_at + shift,
        learned.lifetime,
        learned.free,
        learned.refreshes,
        learned.changes,
        learned.seconds,
        learned.asked,
        learned.waited,
    )


def _read_learned(meta: Meta, position: Position, shift: float) -> Learned | None:
    """Return what is known of a key. What cannot be true is left out: it is of no use to the response."""
    read = meta.learned
    if read is None:
        return None
    numbers = (read.lifetime, read.changes, read.seconds, read.asked, read.waited)
    if not all(
        isfinite(each) and each <= MAX_LIFETIME for each in (*numbers, read.seen_at - meta.born)
    ):
        return None
    if read.lifetime < 0.0 or min(numbers[1:]) <= 0.0 or read.refreshes < 0:
        return None
    return Learned(
        content=read.content,
        seen_at=read.seen_at + shift,
        position=position,
        fresh_until=meta.fresh_until + shift,
        lifetime=read.lifetime,
        free=read.free,
        refreshes=read.refreshes,
        changes=read.changes,
        seconds=read.seconds,
        asked=read.asked,
        waited=read.waited,
    )


def marker_of(meta: Meta, key: bytes, position: Position, shift: float) -> VaryMarker:
    """Return the Vary marker that checked metadata describes; its times are moved by `shift`."""
    return VaryMarker(
        key=key,
        names=tuple(name for name, _ in meta.vary),
        route=sys.intern(meta.route),
        born=meta.born + shift,
        fresh_until=meta.fresh_until + shift,
        dies_at=meta.dies_at + shift,
        position=position,
        tags=meta.tags,
    )


def entry_of(meta: Meta, key: bytes, body: bytes, position: Position, shift: float) -> Entry:
    """Return the entry that checked metadata describes; its times are moved by `shift`."""
    fresh_until = meta.fresh_until + shift
    # Equal times share one float object, which saves memory where there are many entries.
    ends = meta.fresh_until
    stale, on_error, dies = meta.stale_until, meta.stale_error_until, meta.dies_at
    kind = partial(EntryWithHoles, holes=meta.holes) if meta.holes else Entry
    return kind(
        key=key,
        status=meta.status,
        headers=intern_pairs(meta.headers),
        body=body,
        route=sys.intern(meta.route),
        born=meta.born + shift,
        fresh_until=fresh_until,
        stale_until=fresh_until if stale == ends else stale + shift,
        stale_error_until=fresh_until if on_error == ends else on_error + shift,
        dies_at=fresh_until if dies == ends else dies + shift,
        position=position,
        tags=meta.tags,
        vary=meta.vary,
        learned=None if meta.learned is None else _read_learned(meta, position, shift),
    )
