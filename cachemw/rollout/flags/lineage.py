"""Which of two documents of live flags was made with knowledge of the other.

Revisions grow by one with each change, but only as long as Redis keeps its data. When it has lost them, a
process that may not know the newest revision writes the flags back, and from then on two different
documents may have the same revision. So each document names its **life**: it begins when the flags are
written into a Redis that has none. It also names the last revision that it includes of each earlier life
(a version vector: Parker and others, "Detection of Mutual Inconsistency in Distributed Systems", 1983).

If neither of two documents includes the other, nobody has compared them. Then the *least* of both counts,
so that what was turned off in one of them stays off.

Older releases write no life. Their documents are compared by revision alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

from msgspec.structs import replace

from cachemw.config.syntax.flag import share_of, state_of
from cachemw.rollout.flags.live import LiveFlags

__all__ = ["are_apart", "includes", "joined", "with_life"]

_LIVES: Final = 8
"""Earlier lives that a document names. Older ones are forgotten (I4): their documents then count as apart."""


def includes(newer: LiveFlags, older: LiveFlags) -> bool:
    """Tell whether `newer` was made with knowledge of `older`, or is the same."""
    if older.life == newer.life or not older.life or not newer.life:
        return newer.revision >= older.revision
    return not older.revision or newer.lives.get(older.life, 0) >= older.revision


def are_apart(one: LiveFlags, other: LiveFlags) -> bool:
    """Tell whether neither of two documents includes the other."""
    return not includes(one, other) and not includes(other, one)


def with_life(live: LiveFlags, *, new: bool = False) -> LiveFlags:
    """Return flags that name their life: a new one if they name none, or if Redis has lost its data."""
    if live.life and not new:
        return live
    return replace(live, life=secrets.token_hex(4), lives=_lives(live))


def joined(
    live: LiveFlags,
    other: LiveFlags,
    class_state: Callable[[str], str],
    route_state: Callable[[str], str],
) -> LiveFlags:
    """Return the one that includes the other, or else a new revision of `live` that includes both.

    That one lets in no more than either. `class_state` and `route_state` return the state of a class or
    route that has no live flag.
    """
    if not are_apart(live, other):
        return live if includes(live, other) else other
    return LiveFlags(
        revision=max(live.revision, other.revision) + 1,
        kill=live.kill or other.kill,
        classes=_least(live.classes, other.classes, class_state),
        routes=_least(live.routes, other.routes, route_state),
        holdout=other.holdout if live.holdout is None else live.holdout,
        levels={**other.levels, **live.levels},
        life=live.life,
        lives=_lives(other, live),
    )


def _least(
    some: Mapping[str, str], others: Mapping[str, str], default: Callable[[str], str]
) -> dict[str, str]:
    def share(states: Mapping[str, str], name: str) -> int:
        return share_of(states.get(name) or default(name))

    return {
        name: state_of(min(share(some, name), share(others, name))) for name in {**some, **others}
    }


def _lives(older: LiveFlags, newer: LiveFlags | None = None) -> dict[str, int]:
    """Return the lives before `newer` with the last revision that is known of each, the latest one last."""
    known = dict(older.lives)
    for life, revision in newer.lives.items() if newer else ():
        known[life] = max(revision, known.get(life, 0))
    if older.life:
        known[older.life] = max(older.revision, known.pop(older.life, 0))
    if newer:
        known.pop(newer.life, None)
    return dict(islice(known.items(), max(0, len(known) - _LIVES), None))
