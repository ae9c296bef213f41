"""The health check that follows every rollback (R47): has it arrived, and is it well now?"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.guardrails.tallies import TREATED, Grown, Process
from cachemw.rollout.state import State

__all__ = ["Finding", "examine"]

_OFF = Outcome.OFF.label


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    what: str
    well: bool
    said: str


def examine(
    state: State,
    processes: Sequence[Process],
    grown: Grown,
    routes: Collection[str],
    *,
    store: str,
    failing: float,
) -> list[Finding]:
    """Look at everything once, some time after the rollback.

    `grown` is what was counted since it must have been everywhere, `routes` are those that are off now;
    `store` is what is wrong with Redis, `failing` the share of failures that may be.
    """
    live = [process for process in processes if process.live]
    return [
        Finding(what="processes", well=bool(live), said=f"{len(live)} are there"),
        Finding(what="store", well=not store, said=store or "keeps what it is given"),
        _flags(state, live),
        _log(live),
        _uncached(grown, routes),
        _errors(grown, routes, failing),
    ]


def _flags(state: State, live: Sequence[Process]) -> Finding:
    have = sum(p.stats.gauges.get("flags_revision", 0) >= state.flags_revision for p in live)
    said = f"{have} of {len(live)} processes have them"
    return Finding(what="flags", well=have == len(live), said=said)


def _log(live: Sequence[Process]) -> Finding:
    away = sum(not process.stats.gauges.get("log_connected", 1) for process in live)
    broken = sum(bool(process.stats.gauges.get("breaker", 0)) for process in live)
    said = f"{away} processes do not follow the log, {broken} have given Redis up"
    return Finding(what="log", well=not away and not broken, said=said)


def _uncached(grown: Grown, routes: Collection[str]) -> Finding:
    still = sum(
        grown.requests.get(name, {}).get(outcome.label, 0) for name in routes for outcome in TREATED
    )
    return Finding(what="routes", well=not still, said=f"{still} answers still through the cache")


def _errors(grown: Grown, routes: Collection[str], failing: float) -> Finding:
    answers = sum(grown.requests.get(name, {}).get(_OFF, 0) for name in routes)
    failed = sum(grown.failures.get(name, {}).get(_OFF, 0) for name in routes)
    rate = failed / answers if answers else 0.0
    said = f"{rate:.2%} of {answers} answers failed, {failing:.2%} may"
    return Finding(what="errors", well=rate <= failing, said=said)
