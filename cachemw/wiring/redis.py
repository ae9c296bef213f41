"""The parts of a cache that need Redis: nodes, tier, leases, log and rollout documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from cachemw.config import Config
from cachemw.connections.failures import describe_failure
from cachemw.connections.nodes import Nodes
from cachemw.engine.model.outcomes import EventName
from cachemw.errors import StoreError, StoreUnavailable
from cachemw.invalidation.log.follower import RedisLog
from cachemw.invalidation.log.hooks import LogHooks
from cachemw.invalidation.log.rollout_documents import RolloutDocuments
from cachemw.learning.document import name_of as learned_name
from cachemw.learning.document import share
from cachemw.learning.lifetimes import Lifetimes
from cachemw.process.clock import Clock
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.flags.live import LiveFlags
from cachemw.rollout.remembered import RECORDS, RememberedRollout
from cachemw.stores.redis.codec import Codec
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.leases import Leases
from cachemw.stores.redis.scanner import Scanner
from cachemw.stores.redis.tier import RedisTier
from cachemw.telemetry import fleet
from cachemw.telemetry.reporter import Reporter

if TYPE_CHECKING:
    import redis

__all__ = ["RedisParts", "connect"]

_PUBLISH_EVERY = 1.0
"""Seconds between two publications of a process's statistics."""
_SHARE_EVERY = 5.0
"""Seconds between two exchanges of what is learned."""
_LEARNED_FOR = 30 * 86_400
"""Seconds for which what is learned outlives the last process."""
_LOOK_EVERY = 2.0
"""Seconds between two checks for a rollout that needs a controller."""
_PATIENCE = 2.0
"""Seconds that Redis has to answer in the background, where no request waits."""
_STATES = {"closed": 0.0, "half-open": 1.0, "open": 2.0}
"""Breaker states as values of the gauge."""


@dataclass(slots=True, eq=False)
class RedisParts:
    """The parts that reach Redis."""

    config: Config
    clock: Clock
    nodes: Nodes
    tier: RedisTier
    scanner: Scanner
    leases: Leases
    log: RedisLog
    hooks: LogHooks
    rollout: RolloutDocuments
    kinds: frozenset[str] = frozenset()
    """The kinds whose lifetimes are learned."""
    lifetimes: Lifetimes | None = None
    shared_at: float = 0.0
    rollout_active: list[Callable[[], None]] = field(default_factory=list)
    """Called every few seconds while there is a rollout that needs a controller."""
    published_at: float = 0.0
    looked_at: float = 0.0
    remembered: RememberedRollout = field(default_factory=RememberedRollout)
    remembered_at: int = -1
    """The revision of the live flags at the last look at the rollout."""

    def reset_after_fork(self) -> None:
        """Drop the parent's connections and leases."""
        self.nodes.reset_after_fork()
        self.leases.reset_after_fork()
        self.remembered.reset_after_fork()
        self.published_at = self.shared_at = 0.0

    def attach(self, flags: Flags, stats: Callable[[], bytes]) -> None:
        """Connect the log to the flags, and to the publication of statistics."""
        self.hooks.flags = flags.receive
        self.hooks.flags_answered = flags.answered
        self.hooks.newest_flags = flags.newest
        self.hooks.rejoined = lambda: self._rejoined(flags)
        self.hooks.tick = lambda client: self._tick(client, flags, stats)

    def exchange_learned(self, lifetimes: Lifetimes, kinds: Iterable[str]) -> None:
        """Exchange from now on with other processes what is learned of these kinds."""
        self.lifetimes, self.kinds = lifetimes, frozenset(kinds)

    def _rejoined(self, flags: Flags) -> None:
        flags.publish_pending()
        with suppress(StoreError):  # Redis may have lost the rollout with its other data
            self.rollout.restore(lambda stored: self._missing_rollout(stored, flags.published))
        with suppress(StoreError):
            self.leases.settle_deferred()

    def _missing_rollout(
        self, stored: bytes | None, live: LiveFlags
    ) -> tuple[bytes, bool, list[bytes]] | None:
        missing = self.remembered.missing(stored, live)
        if missing is None:
            return None
        state, history = missing
        encode = msgspec.json.encode
        return encode(state), state.needs_controller, [encode(each) for each in history]

    def _look_at_rollout(self, client: redis.Redis, flags: Flags, now: float) -> None:
        """Remember the rollout, and control it where nobody does."""
        revision = flags.live.revision
        if revision == self.remembered_at and now - self.looked_at < _LOOK_EVERY:
            return
        self.looked_at, self.remembered_at = now, revision
        self.remembered.learn(*self.rollout.look(client, RECORDS))
        if self.rollout_active and self.rollout.is_active(client):
            for ensure_control in self.rollout_active:
                ensure_control()

    def _tick(self, client: redis.Redis, flags: Flags, stats: Callable[[], bytes]) -> None:
        if not flags.known:  # Redis may have lost them: see `FlagDocument.answer`
            self.log.flags.answer(client, flags.answered, was_away=True)
        flags.publish_pending()
        with suppress(StoreError):  # it is counted; the next tick tries again
            self.leases.settle_deferred()
            self.leases.renew()
        now = self.clock.monotonic()
        self._look_at_rollout(client, flags, now)
        self._share_what_is_learned(client, now)
        if now - self.published_at < _PUBLISH_EVERY:
            return
        self.published_at = now
        try:
            component = self.config.component
            fleet.publish(client, self.config.namespace, self.log.me, component, stats())
        except StoreError as error:
            self.hooks.count("store_error", "publish")
            self.hooks.failed(error, "")

    def _share_what_is_learned(self, client: redis.Redis, now: float) -> None:
        """Exchange with the other processes what is learned of each kind."""
        if not self.kinds or self.lifetimes is None or now - self.shared_at < _SHARE_EVERY:
            return
        self.shared_at = now
        try:
            share(self.lifetimes, self.kinds, lambda change: self._change_learned(client, change))
        except StoreError:
            self.hooks.count("store_error", "learned")

    def _change_learned(self, client: redis.Redis, change: Callable[[bytes | None], bytes]) -> None:
        """Replace the document of what is learned. Raises StoreUnavailable."""
        from redis.exceptions import ResponseError

        name = learned_name(self.config.namespace)

        def update(pipeline: Any) -> None:
            stored = pipeline.get(name)
            pipeline.multi()
            pipeline.set(name, change(stored), ex=_LEARNED_FOR)

        try:
            client.transaction(update, name)
        except ResponseError as error:  # the server is full or read-only, or the key is not ours
            raise StoreUnavailable(f"learned: {type(error).__name__}") from error

    def fleet_stats(self) -> fleet.FleetStats:
        """Return the counts of all processes that share this Redis. Raises StoreUnavailable."""
        node = self.nodes.find(fleet.name_of(self.config.namespace).encode())
        return fleet.read(node.sync(), self.config.namespace)

    def fleet_processes(self) -> tuple[fleet.ProcessStats, ...]:
        """Return the counts of each process; wait longer than a request would."""
        node = self.nodes.find(fleet.name_of(self.config.namespace).encode())
        with closing(node.dedicated_client(_PATIENCE)) as client:
            return fleet.read(client, self.config.namespace).processes

    def gauges(self) -> dict[str, Callable[[], float | None]]:
        """Return how to read the gauges of these parts, by the names in `Gauges`."""
        return {
            "breaker": self._breaker,
            "log_connected": lambda: self.log.live,
            "log_age": self._log_age,
            "log_partition_limit": lambda: self.config.log.partition_limit,
            "queue": lambda: self.log.appender.queued,
        }

    def _breaker(self) -> float:
        """Return the worst state of all breakers."""
        return max((_STATES[breaker.state] for breaker in self.nodes.breakers), default=0.0)

    def _log_age(self) -> float | None:
        """Return the seconds since the log was last read successfully."""
        alive = self.log.alive_at
        return None if alive is None else self.clock.monotonic() - alive


class _StoreReporter:
    """Counts the events of the shared store, and logs those that an operator must know."""

    def __init__(self, config: Config, clock: Clock, reporter: Reporter) -> None:
        assert config.redis is not None
        self._address = config.redis.safe_url
        self._clock = clock
        self._count = reporter.count
        self._logs = reporter.logs
        self._opened_at = 0.0

    def failed(self, error: BaseException, server: str) -> None:
        """Log where Redis is, and what it does in place of an answer."""
        failure = describe_failure(error)
        self._logs.redis_error(self._address, f"{server} {failure}" if server else failure)

    def lost(self, error: BaseException) -> None:
        """Log that the log cannot be followed any more, and why."""
        self._logs.log_lost(describe_failure(error))

    def breaker_closed(self) -> None:
        """Log that a breaker is closed again."""
        self._logs.breaker_closed(self._address, self._clock.monotonic() - self._opened_at)

    def report(self, event: EventName, reason: str) -> None:
        """Count an event of the tier or the log, and log it if it matters."""
        self._count(event, reason)
        if event == "entry_rejected":
            self._logs.entry_rejected(reason)
        elif event == "breaker_opened":
            self._opened_at = self._clock.monotonic()
            self._logs.breaker_opened(self._address)


def connect(config: Config, clock: Clock, reporter: Reporter) -> RedisParts:
    """Make the parts; this opens no connection."""
    assert config.redis is not None
    nodes = Nodes(config.redis, clock.monotonic)
    hooks = LogHooks()
    events = _StoreReporter(config, clock, reporter)
    hooks.count = events.report
    hooks.breaker_closed = events.breaker_closed
    hooks.failed = nodes.failed = events.failed
    hooks.lost = events.lost
    hooks.regained = reporter.logs.log_regained
    hooks.unsent = reporter.logs.purges_unsent
    log = RedisLog(nodes, config.namespace, config.log, hooks, clock.monotonic)
    secrets = config.secret or (f"cachemw:{config.namespace}",)
    codec = Codec(
        [secret.encode() for secret in secrets],
        threshold=config.compression.threshold,
        level=config.compression.level,
        max_body=max((route.max_size for route in config.routes), default=1),
    )
    commands = Commands(nodes, events.report, events.failed)
    tier = RedisTier(
        commands,
        config.namespace,
        codec,
        server_clock=lambda: log.server_shift,
        monotonic=clock.monotonic,
        count=events.report,
    )
    scanner = Scanner(
        nodes,
        config.namespace,
        codec,
        server_clock=lambda: log.server_shift,
        monotonic=clock.monotonic,
    )
    leases = Leases(
        commands,
        config.namespace,
        lifetime=config.coalesce.lease,
        remembered=config.coalesce.hit_for_miss,
        monotonic=clock.monotonic,
    )
    rollout = RolloutDocuments(config.namespace, log.stream, nodes, lambda: log.me)
    return RedisParts(config, clock, nodes, tier, scanner, leases, log, hooks, rollout)
