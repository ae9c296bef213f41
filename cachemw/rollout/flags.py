"""Flags: each risk class and each route, off or on, by configuration and live; the kill switch over all.

A route uses the cache when nothing says otherwise, in this order:

1. the kill switch, set in the environment or the configuration (it cannot be lifted live), or live;
2. its risk class: the live setting, else the configured one;
3. the route itself: the live setting, else the configured flag, else its `enabled`.

The live settings are one small document, replaced as a whole and numbered by `revision`: of two
documents the higher revision counts, so late news cannot undo newer. Whoever changes it starts from
what Redis has at that moment, so two operators at once both get what they asked for. What Redis
could not be told keeps its revision: the fleet's next document replaces it. Requests read one
attribute of their route; it is worked out here when something changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from cachemw.engine.routes import RouteState
from cachemw.errors import CacheError

__all__ = ["RISKS", "Change", "FlagError", "Flags", "LiveFlags", "changed_flags"]

RISKS = ("low", "medium", "high")
State = Literal["off", "on"]

Change = Callable[[bytes | None], bytes]
"""Makes the live flags' next document out of the one that Redis has, or None where it has none."""


class FlagError(CacheError, ValueError):
    """A flag that does not exist, or a state that it cannot have."""


class LiveFlags(msgspec.Struct, frozen=True, kw_only=True):
    """What was set live, over the configuration."""

    revision: int = 0
    kill: bool = False
    classes: dict[str, State] = {}
    routes: dict[str, State] = {}


def changed_flags(
    live: LiveFlags,
    route_names: Sequence[str],
    settings: Mapping[str, str],
) -> LiveFlags:
    """Give the live flags with these settings changed, or raise FlagError naming every mistake.

    A name is a risk class, `kill`, or `route:NAME`; a state is `on`, `off`, or `default` for what
    the configuration says.
    """
    kill, classes, routes = live.kill, dict(live.classes), dict(live.routes)
    mistakes = []
    for name, state in settings.items():
        table, key = (routes, name[6:]) if name.startswith("route:") else (classes, name)
        known = route_names if table is routes else (*RISKS, "kill")
        if key not in known:
            mistakes.append(f"{name!r} is no flag; there are {', '.join(_names(route_names))}")
        elif state not in ("on", "off", "default"):
            mistakes.append(f"{name}: {state!r} is no state; a flag is on, off or default")
        elif name == "kill":
            kill = state == "on"
        elif state == "default":
            table.pop(key, None)
        else:
            table[key] = "on" if state == "on" else "off"
    if mistakes:
        raise FlagError("; ".join(mistakes))
    return LiveFlags(revision=live.revision + 1, kill=kill, classes=classes, routes=routes)


def _names(route_names: Sequence[str]) -> list[str]:
    return [*RISKS, "kill", *(f"route:{name}" for name in route_names)]


def _read(document: bytes | None) -> LiveFlags | None:
    """Read a document; None for one that is not there or cannot be read."""
    try:
        return None if document is None else msgspec.json.decode(document, type=LiveFlags)
    except msgspec.MsgspecError:
        return None


class Flags:
    """The flags of one process, and the way to change the fleet's."""

    def __init__(
        self,
        routes: Sequence[RouteState],
        *,
        classes: Mapping[str, str],
        route_flags: Mapping[str, str],
        kill: bool,
        exchange: Callable[[Change], bytes | None] | None,
    ) -> None:
        """Begin with the configuration's flags.

        `exchange` applies a change to the fleet's document in one step and gives what it wrote, or
        None when Redis could not be told; without it there is no fleet.
        """
        self._routes = routes
        self._classes = dict(classes)
        self._route_flags = dict(route_flags)
        self._enabled = {route.name: route.on for route in routes}
        self._killed = kill
        self._exchange = exchange
        self._lock = threading.Lock()
        self.live = LiveFlags()
        self._pending: dict[str, str] = {}
        """What was set while Redis was away, to be published when it is back."""
        self._refresh()

    def set(self, settings: Mapping[str, str] | None = None, **classes: str) -> bool:
        """Change flags live, in this process at once and in the fleet through the log.

        `flags.set(low="on", high="off")`, `flags.set({"route:products": "off", "kill": "on"})`.
        Give False when Redis could not be told: then it holds here now, and everywhere when Redis is
        back, unless somebody has changed the flags by then. Raises FlagError.
        """
        wanted = {**(settings or {}), **classes}
        names = [route.name for route in self._routes]
        with self._lock:
            before = self.live
            changed = changed_flags(before, names, wanted)
            if self._exchange is not None:
                changed = msgspec.structs.replace(changed, revision=before.revision)
            self.live = changed
            self._refresh()
        if self._exchange is None:
            return True

        def change(stored: bytes | None) -> bytes:
            theirs = _read(stored)
            behind = theirs is None or theirs.revision < before.revision
            newest = before if behind or theirs is None else theirs
            return msgspec.json.encode(changed_flags(newest, names, wanted))

        written = _read(self._exchange(change))
        with self._lock:
            if written is None:
                self._pending |= wanted
                return False
            if written.revision >= self.live.revision:
                self.live = written
                self._refresh()
        return True

    def kill(self) -> bool:
        """Turn the whole cache off, live."""
        return self.set({"kill": "on"})

    def receive(self, document: bytes) -> None:
        """Take over live flags that another process set; what cannot be read changes nothing."""
        received = _read(document)
        with self._lock:
            if received is not None and received.revision > self.live.revision:
                self.live = received
                self._pending.clear()
                self._refresh()

    def publish_pending(self) -> None:
        """Tell the fleet what was set here while Redis was away."""
        with self._lock:
            pending, self._pending = self._pending, {}
        if pending:
            self.set(pending)

    def newest(self, stored: bytes | None) -> bytes | None:
        """Give the newer of a stored document and the flags here; None: nothing was ever set."""
        theirs = _read(stored)
        if not self.live.revision or (theirs and theirs.revision >= self.live.revision):
            return stored
        return msgspec.json.encode(self.live)

    def states(self) -> dict[str, str]:
        """Give the effective state of every flag: the classes, then the routes, then the kill switch."""
        states = {risk: "on" if self._class_on(risk) else "off" for risk in RISKS}
        states |= {f"route:{route.name}": "on" if route.on else "off" for route in self._routes}
        return {**states, "kill": "on" if self.killed else "off"}

    @property
    def killed(self) -> bool:
        """Whether the kill switch is on."""
        return self._killed or self.live.kill

    def _class_on(self, risk: str) -> bool:
        return (self.live.classes.get(risk) or self._classes.get(risk, "on")) == "on"

    def _route_on(self, name: str) -> bool:
        state: Any = self.live.routes.get(name) or self._route_flags.get(name)
        return self._enabled[name] if state is None else state == "on"

    def _refresh(self) -> None:
        for route in self._routes:
            route.on = not self.killed and self._class_on(route.risk) and self._route_on(route.name)

    def reset_after_fork(self) -> None:
        """Make the lock anew."""
        self._lock = threading.Lock()
