"""Flags: how far each risk class and each route is let into the cache, by configuration and live.

A state is `off`, `shadow` (the application answers, and what the cache would do is watched), `canary 10%`
(that share of the keys, always the same ones, and more of them as it grows) or `on`. What counts for a
route is the least that any of these gives it:

1. the kill switch, set in the environment or the configuration (it cannot be lifted live), in this
   machine's file, or live: a kill anywhere kills;
2. its risk class: this machine's file, else the live setting, else the configured one;
3. the route itself: this machine's file, else the live setting, else the configured flag, else its
   `enabled`;
4. another system of flags, where one drives this process (`cachemw.openfeature`), for class and route.

Beside them stands the *holdout*: a share of requests, drawn anew each time, that goes past the cache
so that there is something to compare with. And there are the *levels* of the log lines of each risk
class: this machine's file, else live, else configured.

The live settings are one small document (`rollout.live`). The higher revision counts, so late news
cannot undo newer. Whoever changes it starts from what Redis has at that moment, so two operators at
once both get what they asked for. What Redis could not be told keeps its revision: the fleet's next
document replaces it. What this machine's file says (`rollout.files`) is laid over the document here,
and never becomes part of it. Requests read one attribute of their route; it is worked out here when
something changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from cachemw.config.syntax.flag import OFF, parse_holdout, share_of, state_of
from cachemw.engine.model.routes import RouteState
from cachemw.rollout.flags.live import (
    HOLDOUT,
    RISKS,
    Change,
    LiveFlags,
    changed_flags,
    read_document,
    write_document,
)

__all__ = ["Flags"]


class Flags:
    """The flags of one process, and the way to change the fleet's."""

    def __init__(
        self,
        routes: Sequence[RouteState],
        *,
        classes: Mapping[str, str],
        route_flags: Mapping[str, str],
        kill: bool,
        holdout: float = 0.0,
        hold_out: Callable[[float], object] = lambda share: None,
        levels: Mapping[str, str] | None = None,
        set_level: Callable[[str, str], object] = lambda risk, level: None,
        exchange: Callable[[Change], bytes | None] | None,
    ) -> None:
        """Begin with the configuration's flags and levels.

        `hold_out` hears of the share of requests to hold out, `set_level` of each risk class whose
        level of log lines is another than before.
        `exchange` applies a change to the fleet's document in one step and gives what it wrote, or
        None when Redis could not be told; without it there is no fleet.
        """
        self._routes = routes
        self._classes = dict(classes)
        self._route_flags = dict(route_flags)
        self._enabled = {route.name: route.share for route in routes}
        self._killed = kill
        self._holdout = holdout
        self._hold_out = hold_out
        self._levels = dict(levels or {})
        self._set_level = set_level
        self._levels_told: dict[str, str] = {}
        self._exchange = exchange
        self._lock = threading.Lock()
        self.live = LiveFlags()
        self.local: Mapping[str, object] = {}
        """What this machine's file says, by name: states that have been checked."""
        self._counting = self.live
        """The live flags with this machine's file laid over them."""
        self.driven: Mapping[str, str] = {}
        """What another system of flags says, by name: states that have been checked."""
        self.on_change: list[Callable[[], None]] = []
        """Called, in whichever thread, when anything may have changed."""
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
        names = self.route_names
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
            theirs = read_document(stored)
            behind = theirs is None or theirs.revision < before.revision
            newest = before if behind or theirs is None else theirs
            return write_document(changed_flags(newest, names, wanted))

        written = read_document(self._exchange(change))
        with self._lock:
            if written is None:
                self._pending |= wanted
                return False
            if written.revision >= self.live.revision:
                self.live = written
                self._refresh()
        return True

    def override(self, local: Mapping[str, object]) -> None:
        """Let this machine's file count in place of what was set live; raises FlagError."""
        changed_flags(LiveFlags(), self.route_names, local)
        with self._lock:
            self.local = dict(local)
            self._refresh()

    def drive(self, driven: Mapping[str, str]) -> None:
        """Let another system of flags say how far this process goes; of all that is said the least counts."""
        with self._lock:
            if driven == self.driven:
                return
            self.driven = dict(driven)
            self._refresh()

    def kill(self) -> bool:
        """Turn the whole cache off, live."""
        return self.set({"kill": "on"})

    def receive(self, document: bytes) -> None:
        """Take over live flags that another process set; what cannot be read changes nothing."""
        received = read_document(document)
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
        theirs = read_document(stored)
        if not self.live.revision or (theirs and theirs.revision >= self.live.revision):
            return stored
        return write_document(self.live)

    def amended(self, stored: bytes | None, settings: Mapping[str, str]) -> LiveFlags:
        """Give the newer of a stored document and the flags here, with these settings changed.

        What is to be as configured, and is not set, may be a route that the configuration has lost.
        """
        newest = read_document(self.newest(stored)) or LiveFlags()
        there = {f"route:{name}" for name in (*self.route_names, *newest.routes)}
        wanted = {
            name: state
            for name, state in settings.items()
            if state != "default" or not name.startswith("route:") or name in there
        }
        return changed_flags(newest, self.route_names, wanted)

    def states(self) -> dict[str, str]:
        """Give the effective state of every flag: classes, routes, kill switch and holdout."""
        states = {risk: state_of(self._class_share(risk)) for risk in RISKS}
        states |= {f"route:{route.name}": state_of(route.share) for route in self._routes}
        states["kill"] = "on" if self.killed else "off"
        return {**states, HOLDOUT: f"{self.holdout * 100:g}%" if self.holdout else "off"}

    @property
    def route_names(self) -> list[str]:
        """The names of the routes that have flags."""
        return [route.name for route in self._routes]

    @property
    def levels(self) -> dict[str, str]:
        """The level of log lines by risk class, of those that have one."""
        return {**self._levels, **self._counting.levels}

    @property
    def holdout(self) -> float:
        """The share of requests that goes past the cache."""
        live = self._counting.holdout
        if live is not None:
            return live
        driven = self.driven.get(HOLDOUT)
        return self._holdout if driven is None else parse_holdout(driven)

    @property
    def killed(self) -> bool:
        """Whether the kill switch is on."""
        said = self.live.kill or self._counting.kill or self.driven.get("kill") == "on"
        return self._killed or said

    def _class_share(self, risk: str) -> int:
        share = share_of(self._counting.classes.get(risk) or self._classes.get(risk, "on"))
        return min(share, share_of(self.driven.get(risk, "on")))

    def _route_share(self, name: str) -> int:
        state = self._counting.routes.get(name) or self._route_flags.get(name)
        share = self._enabled[name] if state is None else share_of(state)
        return min(share, share_of(self.driven.get(f"route:{name}", "on")))

    def _refresh(self) -> None:
        self._counting = changed_flags(self.live, self.route_names, self.local)
        for route in self._routes:
            share = min(self._class_share(route.risk), self._route_share(route.name))
            route.share = OFF if self.killed else share
        self._hold_out(self.holdout)
        self._tell_levels()
        for told in self.on_change:
            with suppress(Exception):  # who listens may be at fault, and the flags have changed
                told()

    def _tell_levels(self) -> None:
        before, self._levels_told = self._levels_told, self.levels
        for risk, level in self._levels_told.items() - before.items():
            with suppress(ValueError):  # a class or a level of a later release
                self._set_level(risk, level)

    def reset_after_fork(self) -> None:
        """Make the lock anew."""
        self._lock = threading.Lock()
