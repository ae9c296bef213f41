"""Reports of what happened to each request, for counters, spans and log lines.

An error in a report never reaches a client: every method catches and logs it (I3).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cachemw.config import Config
from cachemw.engine.model.differences import Difference
from cachemw.engine.model.outcomes import FAILED, EventName, ForecastName, Outcome
from cachemw.engine.model.routes import RouteState
from cachemw.process.clock import Clock
from cachemw.telemetry.counters import UNLISTED, Counters
from cachemw.telemetry.forecasts import Forecasts
from cachemw.telemetry.logs import Logs, logger_of
from cachemw.telemetry.mismatches import Mismatches
from cachemw.telemetry.spans import mark_server_span

__all__ = ["Reporter"]

_HIT = int(Outcome.HIT_MEMORY)


class Reporter:
    """Reports what happens in one cache. Thread-safe."""

    def __init__(
        self,
        counters: Counters,
        logs: Logs,
        mismatches: Mismatches,
        clock: Clock,
        config: Config,
    ) -> None:
        self.counters = counters
        self.logs = logs
        self.mismatches = mismatches
        self.forecasts = Forecasts()
        self._conflicts: set[int] = set()
        """The routes of which a warning has told that their application sets cookies it is not shown."""
        self._record = counters.record
        self._monotonic = clock.monotonic
        # Looked up once: `finish_hit` is on the path of a memory hit.
        self._is_logged = [logger_of(route.risk).isEnabledFor for route in config.routes]

    def count(self, event: EventName, reason: str) -> None:
        """Count an event; `reason` is empty for events without one."""
        self.counters.event(event, reason)

    def finish(
        self,
        route: RouteState | None,
        outcome: Outcome,
        status: int,
        started: float,
        reason: str = "",
        *,
        failed: bool = False,
    ) -> None:
        """Count one answered request, mark the server's span, and log a line if its level is on.

        `reason` is why the application was asked, if it was. `failed` means that the application raised;
        a response of 500 or above counts as failed too.
        """
        try:
            self._report(route, outcome, status, started, reason, failed or status >= FAILED)
        except Exception:
            self.logs.failed("telemetry_failed")

    def _report(
        self,
        route: RouteState | None,
        outcome: Outcome,
        status: int,
        started: float,
        reason: str,
        failed: bool,
    ) -> None:
        seconds = self._monotonic() - started
        index = UNLISTED if route is None else route.index
        self.counters.record(index, outcome, seconds)
        if failed:
            self.counters.fail(index, outcome)
        if route is None:
            return
        mark_server_span(route.template, outcome.outcome, outcome.tier)
        self.logs.request(route.risk, route.template, outcome, status, seconds, reason)
        if outcome.outcome == "stale":
            self.logs.stale_served(route.risk, route.template, outcome)

    def finish_hit(self, route: RouteState, status: int, started: float) -> None:
        """Do what `finish` does, for a memory hit. This path has a budget: keep it this short."""
        try:
            seconds = self._monotonic() - started
            index = route.index
            self._record(index, _HIT, seconds)
            mark_server_span(route.template, "hit", "memory")
            if self._is_logged[index](logging.DEBUG):
                self.logs.request(route.risk, route.template, Outcome.HIT_MEMORY, status, seconds)
        except Exception:
            self.logs.failed("telemetry_failed")

    def refused(self, route: RouteState, reason: str) -> None:
        """Count and log that a response was not stored, and why."""
        try:
            self.counters.refuse(route.index, reason)
            self.logs.not_stored(route.risk, route.template, reason)
            if reason == "cookie-conflict" and route.index not in self._conflicts:
                self._conflicts.add(route.index)
                self.logs.cookie_conflict(route.template)
        except Exception:
            self.logs.failed("telemetry_failed")

    def forecast(self, route: RouteState, counts: Sequence[ForecastName]) -> None:
        """Count what a route in shadow would have done with a request, switched on."""
        try:
            self.forecasts.add(route.name, counts)
        except Exception:
            self.logs.failed("telemetry_failed")

    def misplaced(self, route: RouteState, found: tuple[bytes, bytes]) -> None:
        """Count that outer middleware had put a session or a user into a request; warn once of the order."""
        try:
            self.counters.event("outer_identity", found[0].decode("ascii").lstrip(":"))
            self.logs.outer_identity(route.template, found[1].decode("latin-1"))
        except Exception:
            self.logs.failed("telemetry_failed")

    def cookies_read(self, route: RouteState, names: Sequence[str]) -> None:
        """Warn that the application reads cookies that no list names."""
        try:
            self.logs.cookies_read(route.template, names)
        except Exception:
            self.logs.failed("telemetry_failed")

    def second_cache_hit(self, alias: str, route: str, hits: int, unknown: int) -> None:
        """Count values from one of Django's caches in a response.

        Of unknown ones warn once for that cache and that route.
        """
        try:
            self.counters.event("second_cache_hit", alias, hits)
            if unknown:
                self.counters.event("second_cache_unknown", alias, unknown)
                self.logs.second_cache_unknown(alias, route)
        except Exception:
            self.logs.failed("telemetry_failed")

    def second_cache_error(self, alias: str) -> None:
        """Count and log the exception being handled, after a call of one of Django's caches."""
        self.counters.event("second_cache_error", alias)
        self.logs.failed("recorder_failed")

    def mismatched(self, route: RouteState, difference: Difference) -> None:
        """Count, keep and log that a route in shadow would have served a wrong response."""
        try:
            for kind in difference.kinds:
                self.counters.event("shadow_mismatch", kind)
            self.mismatches.add(route.name, difference)
            self.logs.shadow_mismatch(route.risk, route.template, difference.places)
        except Exception:
            self.logs.failed("telemetry_failed")
