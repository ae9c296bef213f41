"""Flags: how far each route may use the cache, by configuration, live settings, files and other systems.

**States.** A flag is `off`; `shadow` (the application answers every request, and the cache compares its
own answer); `canary 10%` (that share of the keys uses the cache); or `on`. A canary's share is taken by
a digest of the key, so a key that is in stays in while the share grows.

**Rules.** What a route may do is the *least* of these:

1. The kill switch: nothing may use the cache. It is on if any of these sets it: the configuration or
   environment, this machine's file, a live setting, another flag system.
2. Its risk class: this machine's file, else the live setting, else the configuration.
3. The route itself: this machine's file, else the live setting, else the configured flag, else the
   route's `enabled`.
4. Another flag system (`cachemw.openfeature`), for the class and for the route.

So each of them can turn the cache off for a route (I6), and another flag system can never turn on more
than the configuration and the live settings do.

**Beside the flags** there are two more settings. The *holdout* is a share of requests, drawn anew for
each request, that goes past the cache so that there is something to compare with. The *levels* are the
log levels of the risk classes. For both, this machine's file counts before the live setting, and that
before the configuration; another flag system may set the holdout where no live setting does.

**Live settings** are one small document with a revision (`live`). The higher revision counts, so a late
message cannot undo a newer one. A process that changes the document starts from the one in Redis, so
two operators who change different flags at once both succeed. A change that could not reach Redis keeps
the old revision here: the next document from Redis replaces it, and until then `publish_pending` tries
to publish it.

**Cost.** A request reads one attribute, `RouteState.share`. All rules are applied here, when something
changes.
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

__all__ = ["ConfiguredFlags", "Flags"]


class ConfiguredFlags(msgspec.Struct, frozen=True, kw_only=True):
    """The flags as the configuration sets them."""

    classes: Mapping[str, str] = {}
    """Risk class -> state; `on` for a class that is not named."""
    routes: Mapping[str, str] = {}
    """Route -> state, of those that have one."""
    kill: bool = False
    holdout: float = 0.0
    levels: Mapping[str, str] = {}
    """Risk class -> level of its log lines."""


class Flags:
    """The flags of one process, and the way to change those of all processes. Thread-safe."""

    def __init__(
        self,
        routes: Sequence[RouteState],
        configured: ConfiguredFlags,
        *,
        set_holdout: Callable[[float], object] = lambda share: None,
        set_level: Callable[[str, str], object] = lambda risk, level: None,
        exchange: Callable[[Change], bytes | None] | None,
    ) -> None:
        """Begin with the configuration's flags.

        `set_holdout` is called with the share of requests to hold out, `set_level` with each risk class
        and level of log lines that has changed. `exchange` applies a change to the document in Redis in
        one step and returns what it wrote, or None if Redis could not be reached. It is None without
        Redis.
        """
        self._routes = routes
        self._configured = configured
        self._enabled = {route.name: route.share for route in routes}
        self._set_holdout = set_holdout
        self._set_level = set_level
        self._levels_set: dict[str, str] = {}
        self._exchange = exchange
        self._lock = threading.Lock()
        self.live = LiveFlags()
        self.local: Mapping[str, object] = {}
        """The settings of this machine's file, by name, already checked."""
        self._effective = self.live
        """The live flags, with this machine's file in place of them where it has a setting."""
        self.driven: Mapping[str, str] = {}
        """The settings of another flag system, by name, already checked."""
        self.on_change: list[Callable[[], None]] = []
        """Called when something may have changed, in the thread that changed it."""
        self._pending: dict[str, str] = {}
        """Settings made while Redis was away, to be published when it is back."""
        self._refresh()

    def set(self, settings: Mapping[str, str] | None = None, **classes: str) -> bool:
        """Change flags live: in this process at once, in all others through the log.

        Examples: `flags.set(low="on", high="off")`, `flags.set({"route:products": "off", "kill": "on"})`.
        Return False if Redis could not be reached. Then the change applies here at once, and everywhere
        when Redis is back, unless somebody has changed the flags by then. Raises FlagError.
        """
        wanted = {**(settings or {}), **classes}
        names = self.route_names
        with self._lock:
            before = self.live
            changed = changed_flags(before, names, wanted)
            if self._exchange is not None:
                # Not published yet, so not a revision of its own: the next document replaces it.
                changed = msgspec.structs.replace(changed, revision=before.revision)
            self.live = changed
            self._refresh()
        if self._exchange is None:
            return True

        def change(stored: bytes | None) -> bytes:
            # Redis may have lost the document or hold an older one: never go back behind `before` (I6).
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
        """Use this machine's file in place of live settings; raises FlagError."""
        changed_flags(LiveFlags(), self.route_names, local)
        with self._lock:
            self.local = dict(local)
            self._refresh()

    def drive(self, driven: Mapping[str, str]) -> None:
        """Limit the flags by another flag system: of all rules the least counts."""
        with self._lock:
            if driven == self.driven:
                return
            self.driven = dict(driven)
            self._refresh()

    def kill(self) -> bool:
        """Turn the whole cache off, live."""
        return self.set({"kill": "on"})

    def receive(self, document: bytes) -> None:
        """Use live flags that another process set, if they are newer; ignore an unreadable document."""
        received = read_document(document)
        with self._lock:
            if received is not None and received.revision > self.live.revision:
                self.live = received
                self._pending.clear()
                self._refresh()

    def publish_pending(self) -> None:
        """Publish what was set here while Redis was away."""
        with self._lock:
            pending, self._pending = self._pending, {}
        if pending:
            self.set(pending)

    def newest(self, stored: bytes | None) -> bytes | None:
        """Return the newer of a stored document and the flags here, or None if nothing was ever set."""
        theirs = read_document(stored)
        if not self.live.revision or (theirs and theirs.revision >= self.live.revision):
            return stored
        return write_document(self.live)

    def amended(self, stored: bytes | None, settings: Mapping[str, str]) -> LiveFlags:
        """Return the newer of a stored document and the flags here, with these settings changed.

        A setting `default` for a route that neither the configuration nor the document has is left out:
        a rollout takes back the flags of routes that may have left the configuration since.
        """
        newest = read_document(self.newest(stored)) or LiveFlags()
        known = {f"route:{name}" for name in (*self.route_names, *newest.routes)}
        wanted = {
            name: state
            for name, state in settings.items()
            if state != "default" or not name.startswith("route:") or name in known
        }
        return changed_flags(newest, self.route_names, wanted)

    def states(self) -> dict[str, str]:
        """Return the effective state of every flag: classes, routes, kill switch and holdout."""
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
        return {**self._configured.levels, **self._effective.levels}

    @property
    def holdout(self) -> float:
        """The share of requests that goes past the cache."""
        live = self._effective.holdout
        if live is not None:
            return live
        driven = self.driven.get(HOLDOUT)
        return self._configured.holdout if driven is None else parse_holdout(driven)

    @property
    def killed(self) -> bool:
        """Whether the kill switch is on."""
        live = self.live.kill or self._effective.kill
        return self._configured.kill or live or self.driven.get("kill") == "on"

    def _class_share(self, risk: str) -> int:
        share = share_of(
            self._effective.classes.get(risk) or self._configured.classes.get(risk, "on")
        )
        return min(share, share_of(self.driven.get(risk, "on")))

    def _route_share(self, name: str) -> int:
        state = self._effective.routes.get(name) or self._configured.routes.get(name)
        share = self._enabled[name] if state is None else share_of(state)
        return min(share, share_of(self.driven.get(f"route:{name}", "on")))

    def _refresh(self) -> None:
        """Apply all rules, and call whoever needs the result."""
        self._effective = changed_flags(self.live, self.route_names, self.local)
        for route in self._routes:
            share = min(self._class_share(route.risk), self._route_share(route.name))
            route.share = OFF if self.killed else share
        self._set_holdout(self.holdout)
        self._set_levels()
        for callback in self.on_change:
            with suppress(Exception):  # a listener's error must not undo the change
                callback()

    def _set_levels(self) -> None:
        before, self._levels_set = self._levels_set, self.levels
        for risk, level in self._levels_set.items() - before.items():
            with suppress(ValueError):  # a class or a level that only a later release knows
                self._set_level(risk, level)

    def reset_after_fork(self) -> None:
        """Replace the lock, which a thread that the fork did not copy may have held."""
        self._lock = threading.Lock()
