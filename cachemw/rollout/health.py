"""The health check after a rollback: whether it has reached every process, and whether all is well."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.guardrails.tallies import TREATED, Increase, Process
from cachemw.rollout.state import State

__all__ = ["Finding", "examine"]

_OFF = Outcome.OFF.label


class Finding(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"name": "what", "healthy": "well", "detail": "said"},
):
    """The result of one check. Its stored names are part of the history's format."""

    name: str
    healthy: bool
    detail: str


def examine(
    state: State,
    processes: Sequence[Process],
    increase: Increase,
    routes: Collection[str],
    *,
    store: str,
    failing: float,
) -> list[Finding]:
    """Check everything once, some time after a rollback.

    `increase` is what was counted since the rollback must have reached every process, and `routes` are
    those it turned off. `store` says what is wrong with Redis, empty if nothing; `failing` is the
    highest share of failed responses that is normal.
    """
    live = [process for process in processes if process.live]
    return [
        Finding(name="processes", healthy=bool(live), detail=f"{len(live)} are live"),
        Finding(name="store", healthy=not store, detail=store or "accepts writes"),
        _flags(state, live),
        _log(live),
        _uncached(increase, routes),
        _errors(increase, routes, failing),
    ]


def _flags(state: State, live: Sequence[Process]) -> Finding:
    have = sum(p.stats.gauges.get("flags_revision", 0) >= state.flags_revision for p in live)
    detail = f"{have} of {len(live)} processes have them"
    return Finding(name="flags", healthy=have == len(live), detail=detail)


def _log(live: Sequence[Process]) -> Finding:
    cut_off = sum(not process.stats.gauges.get("log_connected", 1) for process in live)
    broken = sum(bool(process.stats.gauges.get("breaker", 0)) for process in live)
    detail = f"{cut_off} processes do not follow the log, {broken} have a Redis breaker that is not closed"
    return Finding(name="log", healthy=not cut_off and not broken, detail=detail)


def _uncached(increase: Increase, routes: Collection[str]) -> Finding:
    """Check that no request of the routes was answered through the cache any more (I6)."""
    still = sum(
        increase.requests.get(name, {}).get(outcome.label, 0)
        for name in routes
        for outcome in TREATED
    )
    detail = f"{still} answers still through the cache"
    return Finding(name="routes", healthy=not still, detail=detail)


def _errors(increase: Increase, routes: Collection[str], failing: float) -> Finding:
    answers = sum(increase.requests.get(name, {}).get(_OFF, 0) for name in routes)
    failed = sum(increase.failures.get(name, {}).get(_OFF, 0) for name in routes)
    rate = failed / answers if answers else 0.0
    detail = f"{rate:.2%} of {answers} answers failed, at most {failing:.2%} is normal"
    return Finding(name="errors", healthy=rate <= failing, detail=detail)
