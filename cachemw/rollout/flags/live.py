"""What was set live: one small document, replaced as a whole, and how a setting changes it.

It is numbered by `revision`: of two documents the higher revision counts. A release that does not
know a field leaves it out of what it writes; a field that a document lacks has its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from cachemw.config.syntax.flag import parse_flag, parse_holdout
from cachemw.config.syntax.messages import show
from cachemw.config.syntax.values import LEVEL
from cachemw.errors import CacheError

__all__ = [
    "HOLDOUT",
    "RISKS",
    "Change",
    "FlagError",
    "LiveFlags",
    "changed_flags",
    "read_document",
    "write_document",
]

RISKS = ("low", "medium", "high")
HOLDOUT = "holdout"
_KILL = "kill"
_DEFAULT = "default"

Change = Callable[[bytes | None], bytes]
"""Makes the live flags' next document out of the one that Redis has, or None where it has none."""


class FlagError(CacheError, ValueError):
    """Flags that do not exist, or states that they cannot have; `mistakes` holds every one."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(mistakes))


class LiveFlags(msgspec.Struct, frozen=True, kw_only=True):
    """What was set live, over the configuration."""

    revision: int = 0
    kill: bool = False
    classes: dict[str, str] = {}
    routes: dict[str, str] = {}
    holdout: float | None = None
    levels: dict[str, str] = {}
    """Risk class -> level of its log lines."""


def read_document(document: bytes | None) -> LiveFlags | None:
    """Read a document; None for one that is not there or cannot be read."""
    try:
        return None if document is None else msgspec.json.decode(document, type=LiveFlags)
    except (msgspec.MsgspecError, RecursionError):
        return None


def write_document(live: LiveFlags) -> bytes:
    """Write a document as `read_document` reads it."""
    return msgspec.json.encode(live)


class _Table(NamedTuple):
    """Flags of one kind: what is set, the names there are, and what reads a state."""

    states: dict[str, str]
    known: Sequence[str]
    read: Callable[[object], str]

    def set(self, name: str, state: object) -> None:
        if state == _DEFAULT:
            self.states.pop(name, None)
        else:
            self.states[name] = self.read(state)

    def forgets(self, name: str, state: object) -> bool:
        """Say whether it takes back what was set for a name that the configuration has lost."""
        return state == _DEFAULT and name in self.states


def changed_flags(
    live: LiveFlags,
    route_names: Sequence[str],
    settings: Mapping[str, object],
) -> LiveFlags:
    """Give the live flags with these settings changed, or raise FlagError naming every mistake.

    A name is a risk class, `route:NAME`, `kill`, `holdout` or `level:RISK`. A state is one of
    `rollout.flags`, for `kill` on or off, for `holdout` a share such as `2%`, for a level one of those
    of the configuration, and `default` for what the configuration says.
    """
    kill, holdout = live.kill, live.holdout
    classes = _Table(dict(live.classes), RISKS, parse_flag)
    routes = _Table(dict(live.routes), route_names, parse_flag)
    levels = _Table(dict(live.levels), RISKS, LEVEL)
    mistakes = []
    for name, state in settings.items():
        prefix, colon, rest = name.partition(":")
        table = {"route": routes, "level": levels}.get(prefix) if colon else classes
        key = rest if colon else name
        try:
            if name == _KILL:
                kill = _read_switch(state)
            elif name == HOLDOUT:
                holdout = None if state == _DEFAULT else parse_holdout(state)
            elif table is not None and (key in table.known or table.forgets(key, state)):
                table.set(key, state)
            else:
                mistakes.append(f"{name!r} is no flag; there are {', '.join(_names(route_names))}")
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
    if mistakes:
        raise FlagError(mistakes)
    return LiveFlags(
        revision=live.revision + 1,
        kill=kill,
        classes=classes.states,
        routes=routes.states,
        holdout=holdout,
        levels=levels.states,
    )


def _read_switch(state: object) -> bool:
    if state not in ("on", "off", _DEFAULT):
        raise ValueError(f"{show(state)} is no state; the kill switch is on, off or default")
    return state == "on"


def _names(route_names: Sequence[str]) -> list[str]:
    routes, levels = (f"route:{name}" for name in route_names), (f"level:{r}" for r in RISKS)
    return [*RISKS, _KILL, HOLDOUT, *routes, *levels]
