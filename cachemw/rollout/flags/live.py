"""The document of live flags, and how a setting changes it.

The document is always replaced as a whole. Of two documents the one with the higher `revision` counts, as
long as Redis has not lost its data in between (`lineage`).
Releases may differ: one that does not know a field does not write it, and a missing field has its
default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

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

RISKS: Final = ("low", "medium", "high")
HOLDOUT: Final = "holdout"
_KILL: Final = "kill"
_DEFAULT: Final = "default"
"""The state that takes back a live setting."""

Change = Callable[[bytes | None], bytes]
"""Returns the next document for the one in Redis, or for None if Redis has none."""


class FlagError(CacheError, ValueError):
    """Unknown flags, or states that a flag cannot have; `mistakes` lists all of them."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(mistakes))


class LiveFlags(msgspec.Struct, frozen=True, kw_only=True):
    """The live settings, which count before the configuration."""

    revision: int = 0
    kill: bool = False
    classes: dict[str, str] = {}
    routes: dict[str, str] = {}
    holdout: float | None = None
    levels: dict[str, str] = {}
    """Risk class -> level of its log lines."""
    life: str = ""
    """The name of the time since Redis last lost its data; empty: unknown."""
    lives: dict[str, int] = {}
    """Earlier life -> the last revision of it that this document includes."""


def read_document(document: bytes | None) -> LiveFlags | None:
    """Return the live flags of a document, or None if it is missing or unreadable."""
    try:
        return None if document is None else msgspec.json.decode(document, type=LiveFlags)
    except (msgspec.MsgspecError, RecursionError):
        return None


def write_document(live: LiveFlags) -> bytes:
    """Return the document that `read_document` reads."""
    return msgspec.json.encode(live)


class _Table(NamedTuple):
    """Flags of one kind: their live states, the known names, and the parser of a state."""

    states: dict[str, str]
    known: Sequence[str]
    parse: Callable[[object], str]

    def set(self, name: str, state: object) -> None:
        if state == _DEFAULT:
            self.states.pop(name, None)
        else:
            self.states[name] = self.parse(state)

    def forgets(self, name: str, state: object) -> bool:
        """Tell whether this takes back a setting for a name that the configuration no longer has."""
        return state == _DEFAULT and name in self.states


def changed_flags(
    live: LiveFlags,
    route_names: Sequence[str],
    settings: Mapping[str, object],
) -> LiveFlags:
    """Return the live flags with these settings changed; raise FlagError with every mistake.

    A name is a risk class, `route:NAME`, `kill`, `holdout` or `level:RISK`. The states of classes and
    routes are those of `flags`; `kill` is on or off, `holdout` a share such as `2%`, and a level is one
    of the configuration's. `default` takes a live setting back.
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
                mistakes.append(
                    f"{name!r} is not a flag; the flags are {', '.join(_names(route_names))}"
                )
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
        life=live.life,
        lives=live.lives,
    )


def _read_switch(state: object) -> bool:
    if state not in ("on", "off", _DEFAULT):
        raise ValueError(f"expected on, off or default, got {show(state)}")
    return state == "on"


def _names(route_names: Sequence[str]) -> list[str]:
    routes, levels = (f"route:{name}" for name in route_names), (f"level:{r}" for r in RISKS)
    return [*RISKS, _KILL, HOLDOUT, *routes, *levels]
