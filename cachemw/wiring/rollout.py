"""The rollout of one cache, joined with flags, statistics, and Redis if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cachemw.config import Config
from cachemw.engine.model.tags import route_tag
from cachemw.invalidation.base import InvalidationLog
from cachemw.invalidation.purges import Purge
from cachemw.process.clock import Clock
from cachemw.rollout.controller import Controller
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.manager import Rollout
from cachemw.rollout.state import Record
from cachemw.rollout.store import LocalStore, SharedStore, Store
from cachemw.rollout.webhook import webhook
from cachemw.telemetry.events import BOUNDS
from cachemw.telemetry.fleet import ProcessStats
from cachemw.telemetry.logs import Logs
from cachemw.telemetry.stats import Stats
from cachemw.wiring.redis import RedisParts

__all__ = ["make_rollout"]

_ALONE = "this process"


def make_rollout(
    config: Config,
    clock: Clock,
    flags: Flags,
    log: InvalidationLog,
    logs: Logs,
    shared: RedisParts | None,
    stats: Callable[[], Stats],
) -> Rollout:
    """Make the rollout. `stats` returns the counts of this process, which are all without Redis."""

    def tags_of(risks: Sequence[str]) -> tuple[str, ...]:
        return tuple(route_tag(route.name) for route in config.routes if route.risk in risks)

    def alone() -> list[ProcessStats]:
        return [
            ProcessStats(id=_ALONE, age=0.0, live=True, component=config.component, stats=stats())
        ]

    store: Store = (
        SharedStore(shared.rollout, flags, tags_of)
        if shared
        else LocalStore(flags, lambda risks: log.purge(Purge(tags=tags_of(risks))))
    )
    report = _make_report(config, logs)

    def name() -> str:
        return f"controller {shared.log.me}" if shared else "controller"

    controller = Controller(
        store,
        risks={route.name: route.risk for route in config.routes if route.methods},
        bounds=BOUNDS,
        fleet=shared.fleet_processes if shared else alone,
        clock=clock,
        name=name,
        report=report,
    )
    rollout = Rollout(store, controller, config, clock=clock, report=report, failed=logs.failed)
    if shared is None:
        rollout.on_move.append(rollout.ensure_control)
    elif config.rollout.controller:
        shared.rollout_active.append(rollout.ensure_control)
    return rollout


def _make_report(config: Config, logs: Logs) -> Callable[[Record], None]:
    """Return the function that logs a decision and calls the webhook; its failure undoes no decision."""
    url = config.rollout.webhook
    call = None if url is None else webhook(url, config.namespace, logs.webhook_failed)

    def report(record: Record) -> None:
        try:
            logs.rollout(record.action, record.phase, record.step, record.reason)
            if call is not None:
                call(record)
        except Exception:
            logs.failed("telling_failed")

    return report
