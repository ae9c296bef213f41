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
two operators who change different flags at once both succeed. If Redis has lost its data, two documents may
not know of each other (`lineage`): then the least of both counts, and Redis is told that. A change that could
not reach Redis keeps the old revision here: the next document from Redis replaces it, and until then
`publish_pending` tries to publish it.

**Knowledge.** A process that shares its flags through Redis knows them once Redis has answered (an answer
without a document means: as configured), or once it has read a young mirror (`files`). Until then it lets
nothing in: somebody may have turned off what the configuration turns on. It keeps what it knows while Redis
is away. An old mirror may turn off and not on: of its settings only those are used that allow no more than
the configuration does (`_limited`), and they give way to a document of the same revision.

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
from cachemw.rollout.flags.lineage import are_apart, includes, joined, with_life
from cachemw.rollout.flags.live import (
    HOLDOUT,
    RISKS,
    Change,
    FlagError,
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
        known: bool = True,
    ) -> None:
        """Begin with the configuration's flags.

        `set_holdout` is called with the share of requests to hold out, `set_level` with each risk class
        and level of log lines that has changed. `exchange` applies a change to the document in Redis in
        one step and returns what it wrote, or None if Redis could not be reached. It is None without
        Redis. `known` tells whether the configuration's flags may be used before Redis has answered.
        """
        self._known_at_start = known
        self.known = known
        """Whether this process knows the live flags. If not, it lets nothing in."""
        self._limited = False
        """Whether `live` comes from an old mirror, without what would turn something on."""
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
        self._published = self.live
        """The newest document of this process, without what is still to be published."""
        self.apart: LiveFlags | None = None
        """Flags that Redis does not know of and is still to be told."""
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
            before, pending = self._published, dict(self._pending)
            changed = changed_flags(self.live, names, wanted)
            if self._exchange is not None:
                # Not published yet, so not a revision of its own: the next document replaces it.
                changed = msgspec.structs.replace(changed, revision=before.revision)
            self.live = changed
            self._refresh()
        if self._exchange is None:
            self._published = changed
            return True

        def change(stored: bytes | None) -> bytes:
            # Redis may have lost the document or hold an older one: never go back behind `before` (I6).
            newest = read_document(self.newest(stored)) or before
            unpublished = {name: state for name, state in pending.items() if name not in wanted}
            unpublished = self.unreplaced(unpublished, newest)
            changed = changed_flags(newest, names, {**unpublished, **wanted})
            return write_document(with_life(changed))

        written = read_document(self._exchange(change))
        with self._lock:
            if written is None:
                self._pending |= wanted
                return False
            self.known = True
            if written.revision >= self.live.revision:
                self._replace_live(written, {**pending, **wanted})
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
        """Use live flags from Redis, if they are newer; ignore an unreadable document."""
        if read_document(document) is not None:
            self.answered(document)

    def answered(self, document: bytes | None) -> None:
        """Note that Redis has answered with its live flags, or that it has none. Use newer ones."""
        received = read_document(document)
        if received is None and document is not None:
            return  # a document that cannot be read says nothing
        with self._lock:
            was_known, self.known = self.known, True
            newer = received is not None and self._is_newer(received)
            if received is not None and newer:
                self._replace_live(received)
            if newer or not was_known:
                self._refresh()

    def _is_newer(self, received: LiveFlags) -> bool:
        mine = self._published
        same = (received.life, received.revision) == (mine.life, mine.revision)
        return not includes(mine, received) or (self._limited and same)

    def _replace_live(self, live: LiveFlags, published: Mapping[str, str] = {}) -> None:
        """Use a newer document, with what is still to be published on top of it.

        A newer document is the later word, and that is dropped: but not a kill, unless the document
        changes the kill switch too. A controller's step must not lift it.
        """
        waiting = {
            name: state for name, state in self._pending.items() if published.get(name) != state
        }
        self._pending = self.unreplaced(waiting, live)
        if not includes(live, self._published):
            self._keep_apart(self._published)
        self._published, self._limited = live, False
        if self.apart is not None and includes(live, self.apart):
            self.apart = None
        self._derive()

    def _keep_apart(self, flags: LiveFlags) -> None:
        self.apart = flags if self.apart is None else self.joined(self.apart, flags)

    def joined(self, live: LiveFlags, other: LiveFlags) -> LiveFlags:
        """Return the newer of two, or the least of both if neither knows of the other."""
        return joined(live, other, self.configured_state, self._configured_route)

    def _configured_route(self, name: str) -> str:
        """Return a route's state without live settings; `on` for a route of another release."""
        return state_of(self._configured_share(name)) if name in self._enabled else "on"

    def unreplaced(self, pending: Mapping[str, str], newer: LiveFlags) -> dict[str, str]:
        """Return the pending settings that a document does not replace."""
        before = self._published
        if newer.revision == before.revision and includes(newer, before):
            return dict(pending)
        kills = pending.get("kill") == "on" and newer.kill == before.kill
        return {"kill": "on"} if kills else {}

    def _derive(self) -> None:
        """Work out the live flags: those that are published, with what Redis is still to be told."""
        published, apart = self._published, self.apart
        live = published if apart is None else self.joined(published, apart)
        changed = changed_flags(live, self.route_names, self._pending)
        self.live = msgspec.structs.replace(changed, revision=published.revision)

    def restore(
        self, mirrored: LiveFlags, pending: Mapping[str, str] = {}, *, young: bool = True
    ) -> None:
        """Use the live flags of a mirror, if they are newer, and what was still to be published.

        Without `young` they may turn off, and not on.
        """
        with self._lock:
            self.known = self.known or young
            usable = mirrored if young else self._restricting(mirrored)
            if are_apart(mirrored, self._published):
                self._keep_apart(usable)
                self._derive()
            elif self._is_newer(mirrored):
                self._replace_live(usable)
                self._limited = usable != mirrored
            if mirrored.revision == self.live.revision and not self._pending:
                self._restore_pending(pending, young=young)
            self._refresh()

    def _restore_pending(self, pending: Mapping[str, str], *, young: bool) -> None:
        for name, state in pending.items():
            with suppress(FlagError):  # a route that has left the configuration
                changed = changed_flags(self.live, self.route_names, {name: state})
                if young or self._restricting(changed) == changed:
                    self._pending[name] = state
        self._derive()

    def _restricting(self, live: LiveFlags) -> LiveFlags:
        """Return live flags without those that allow more than the configuration."""
        classes = {
            risk: state
            for risk, state in live.classes.items()
            if share_of(state) <= share_of(self._configured.classes.get(risk, "on"))
        }
        routes = {
            name: state
            for name, state in live.routes.items()
            if share_of(state) <= self._configured_share(name)
        }
        return msgspec.structs.replace(live, classes=classes, routes=routes)

    @property
    def pending(self) -> dict[str, str]:
        """The settings made here that are still to be published."""
        return dict(self._pending)

    @property
    def published(self) -> LiveFlags:
        """The newest document of this process, without what is still to be published."""
        return self._published

    @property
    def limited(self) -> bool:
        """Whether the live flags are only what an old mirror may still turn off."""
        return self._limited

    def publish_pending(self) -> None:
        """Publish what was set here while Redis was away, and what it does not know of."""
        if self._pending or self.apart is not None:
            self.set(self.pending)

    def newest(self, stored: bytes | None) -> bytes | None:
        """Return the newer of a stored document and the flags here (`lineage`), or None if there are none."""
        theirs = newest = read_document(stored)
        for mine in filter(None, (self._published, self.apart)):
            if not mine.revision or (newest is not None and includes(newest, mine)):
                continue
            if self._limited:  # another process may have all of this revision: this is a newer one
                mine = msgspec.structs.replace(mine, revision=mine.revision + 1)
            newest = with_life(mine, new=True) if newest is None else self.joined(newest, mine)
        return stored if newest is None or newest is theirs else write_document(newest)

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
        return with_life(changed_flags(newest, self.route_names, wanted))

    def states(self) -> dict[str, str]:
        """Return the effective state of every flag: classes, routes, kill switch and holdout."""
        states = {risk: state_of(self._class_share(risk) if self.known else OFF) for risk in RISKS}
        states |= {f"route:{route.name}": state_of(route.share) for route in self._routes}
        states["kill"] = "on" if self.killed else "off"
        return {**states, HOLDOUT: f"{self.holdout * 100:g}%" if self.holdout else "off"}

    def configured_state(self, risk: str) -> str:
        """Return the state of a risk class without live settings."""
        return self._configured.classes.get(risk, "on")

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
        state = self._effective.routes.get(name)
        share = self._configured_share(name) if state is None else share_of(state)
        return min(share, share_of(self.driven.get(f"route:{name}", "on")))

    def _configured_share(self, name: str) -> int:
        state = self._configured.routes.get(name)
        return self._enabled.get(name, OFF) if state is None else share_of(state)

    def _refresh(self) -> None:
        """Apply all rules, and call whoever needs the result."""
        self._effective = changed_flags(self.live, self.route_names, self.local)
        for route in self._routes:
            share = min(self._class_share(route.risk), self._route_share(route.name))
            share = OFF if self.killed else share
            route.unknown = not self.known and share != OFF
            route.share = share if self.known else OFF
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
        """Replace the lock, and ask Redis again: the parent may have stopped to follow the log."""
        self._lock = threading.Lock()
        self.known = self._known_at_start
        self._refresh()
