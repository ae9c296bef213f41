"""Structured log lines on the standard `logging`, with one logger per risk class.

The fields of a line are in its message as logfmt and on the record as the mapping `record.cachemw`. A
line names the route by its template, and never holds a query, a cookie, a key or a body (I1).

**Volume** is limited (I4): request lines by a rate, and every other line to once a minute for the same
event and reason. The loggers `cachemw.low`, `cachemw.medium` and `cachemw.high` have the lines of routes,
`cachemw.faults` those of the cache itself.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from cachemw.engine.model.outcomes import Outcome
from cachemw.process.printable import printable
from cachemw.telemetry.advice import (
    COOKIE_CONFLICT,
    COOKIES_READ,
    FUNCTION,
    NOT_RUN,
    ORDER,
    SECOND_CACHE,
    WITHOUT_THREADS,
)

__all__ = ["LEVELS", "RISKS", "JsonFormatter", "Logs", "configure", "logger_of", "set_level"]

Risk = Literal["low", "medium", "high"]
Fields = dict[str, str | int | float]
Clock = Callable[[], float]

RISKS: Final = ("low", "medium", "high")

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": logging.CRITICAL + 1,
}

REQUEST_LINES_PER_SECOND: Final = 200
"""The default of `log_rate`."""
REPEAT_SECONDS: Final = 60.0
"""Seconds before the same event with the same reason is logged again."""
MAX_NOTES: Final = 1024
"""Most events with their reasons that are remembered for REPEAT_SECONDS (I4)."""
MAX_SECOND_CACHES: Final = 1024
"""Most pairs of a cache and a route that are warned of (I4)."""
MAX_FUNCTIONS: Final = 256
"""Most database functions that a process warns of (I4)."""
MAX_MISTAKES: Final = 20
"""Most mistakes logged of one file of flags."""

_LOGGERS: Final = {risk: logging.getLogger(f"cachemw.{risk}") for risk in RISKS}
_FAULTS: Final = logging.getLogger("cachemw.faults")
_PLAIN: Final = re.compile(r"[^\s\"=]+")


def _print_traceback(record: logging.LogRecord) -> bool:
    """Make the traceback of a record printable: the text of an error may come from Redis."""
    if record.exc_info and not record.exc_text:
        text = logging.Formatter().formatException(record.exc_info)
        record.exc_text = printable(text, keep="\n")
    return True


_FAULTS.addFilter(_print_traceback)


def configure(levels: Mapping[str, str]) -> None:
    """Set the level of each risk class in `levels`; the others stay as they are.

    A class without a level inherits that of the logger `cachemw` or of the root logger. Raises ValueError
    for an unknown class or level, and then changes nothing.
    """
    checked = {logger_of(risk): _level(level) for risk, level in levels.items()}
    for logger, level in checked.items():
        logger.setLevel(level)


def set_level(risk: str, level: str) -> None:
    """Change the level of one risk class; raise ValueError for an unknown class or level."""
    configure({risk: level})


def logger_of(risk: str) -> logging.Logger:
    """Return the logger of a risk class; raise ValueError for an unknown class."""
    if risk not in _LOGGERS:
        raise ValueError(f"risk class {risk!r} is not one of {', '.join(RISKS)}")
    return _LOGGERS[risk]


def _level(level: str) -> int:
    if level.lower() not in LEVELS:
        raise ValueError(f"log level {level!r} is not one of {', '.join(LEVELS)}")
    return LEVELS[level.lower()]


class _Bucket:
    """A token bucket that holds the lines of one second."""

    def __init__(self, rate: int, clock: Clock) -> None:
        self.rate = rate
        self.clock = clock
        self.tokens = float(rate)
        self.filled = clock()

    def take(self) -> bool:
        """Take a token; return whether there was one."""
        now = self.clock()
        self.tokens = min(self.rate, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class _Recent:
    """The events that were logged in the last REPEAT_SECONDS."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._logged_at: dict[tuple[str, ...], float] = {}

    def first(self, key: tuple[str, ...]) -> bool:
        """Return whether an event may be logged: it was not lately, and there is room to remember it."""
        now = self.clock()
        if now - self._logged_at.get(key, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._logged_at) >= MAX_NOTES:
            recent = {k: at for k, at in self._logged_at.items() if now - at < REPEAT_SECONDS}
            self._logged_at = recent
            if len(recent) >= MAX_NOTES:
                return False
        self._logged_at[key] = now
        return True


class Logs:
    """The log lines of one process. Thread-safe."""

    def __init__(
        self,
        *,
        request_lines_per_second: int = REQUEST_LINES_PER_SECOND,
        on_drop: Callable[[], object] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Log at most so many request lines per second; `on_drop` is called for each further one."""
        self._bucket = _Bucket(request_lines_per_second, clock)
        self._recent = _Recent(clock)
        self._on_drop = on_drop
        self._dropped = 0
        self._second_caches: set[tuple[str, str]] = set()
        self._functions: set[str] = set()
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Replace the lock, which a thread that the fork did not copy may have held."""
        self._lock = threading.Lock()
        self._warned_of_order = False

    def request(
        self,
        risk: Risk,
        route: str,
        outcome: Outcome,
        status: int,
        seconds: float,
        reason: str = "",
    ) -> None:
        """Log at DEBUG how one request was answered; `route` is the template.

        `reason` is why the application was asked, as in Cache-Status.
        """
        logger = _LOGGERS[risk]
        if not logger.isEnabledFor(logging.DEBUG):
            return
        with self._lock:
            allowed = self._bucket.take()
            dropped = self._dropped
            self._dropped = 0 if allowed else dropped + 1
        if not allowed:
            self._on_drop()
            return
        fields: Fields = {
            "route": route,
            "outcome": outcome.label,
            "tier": outcome.tier,
            "status": status,
            "ms": round(seconds * 1e3, 3),
        }
        if reason:
            fields["reason"] = reason
        if dropped:
            fields["dropped_before"] = dropped
        _emit(logger, logging.DEBUG, "request", fields)

    def stale_served(self, risk: Risk, route: str, outcome: Outcome) -> None:
        """Log at INFO that stale responses are served: once a minute per route and outcome."""
        self._note(risk, "stale_served", {"route": route, "outcome": outcome.label})

    def not_stored(self, risk: Risk, route: str, reason: str) -> None:
        """Log at INFO why responses are not stored: once a minute per route and reason."""
        self._note(risk, "not_stored", {"route": route, "reason": reason})

    def shadow_mismatch(self, risk: Risk, route: str, places: Sequence[str]) -> None:
        """Log at INFO where responses in shadow differ from stored ones: once a minute per route."""
        logger = _LOGGERS[risk]
        if logger.isEnabledFor(logging.INFO):
            with self._lock:
                first = self._recent.first(("shadow_mismatch", route))
            if first:
                fields: Fields = {"route": route, "places": "; ".join(places)}
                _emit(logger, logging.INFO, "shadow_mismatch", fields)

    def _note(self, risk: Risk, event: str, fields: dict[str, str]) -> None:
        logger = _LOGGERS[risk]
        if not logger.isEnabledFor(logging.INFO):
            return
        with self._lock:
            first = self._recent.first((event, *fields.values()))
        if first:
            _emit(logger, logging.INFO, event, dict(fields))

    def cookie_conflict(self, route: str) -> None:
        """Warn that a route's application sets a cookie that was removed from its request."""
        self._fault("cookie_conflict", {"route": route, "advice": COOKIE_CONFLICT})

    def cookies_read(self, route: str, names: Sequence[str]) -> None:
        """Warn that a route's application reads cookies that no list names, once for each of them.

        The names are those in its code, and not those that clients sent.
        """
        fields: Fields = {"route": route, "cookies": ", ".join(names), "advice": COOKIES_READ}
        self._fault("cookies_read", fields)

    def entry_rejected(self, reason: str) -> None:
        """Warn that a stored entry was damaged or not authentic: once a minute per reason."""
        self._warn_once("entry_rejected", reason)

    def endpoint_refused(self, reason: str) -> None:
        """Warn that a request to the purge endpoint was refused: once a minute per reason."""
        self._warn_once("endpoint_refused", reason)

    def outer_identity(self, route: str, found: str) -> None:
        """Warn once per process that requests bypass because of the order of the middleware."""
        with self._lock:
            if self._warned_of_order:
                return
            self._warned_of_order = True
        self._fault("outer_identity", {"route": route, "found": found, "advice": ORDER})

    def second_cache_unknown(self, alias: str, route: str) -> None:
        """Warn once per process, cache of Django and route that nobody knows what a value was made from."""
        pair = (alias, route)
        with self._lock:
            known = self._second_caches
            if pair in known or len(known) >= MAX_SECOND_CACHES:
                return
            known.add(pair)
        fields: Fields = {"alias": alias, "route": route, "advice": SECOND_CACHE}
        self._fault("second_cache_unknown", fields)

    def unknown_functions(self, names: Sequence[str], statement: str, *, writes: bool) -> None:
        """Warn of database functions that nobody has declared, of each of them once per process.

        `statement` is the shape of one that calls them, without its values. `writes`: it counts as a
        write of every table.
        """
        if not _FAULTS.isEnabledFor(logging.WARNING):
            return
        for name in names:
            with self._lock:
                if name in self._functions or len(self._functions) >= MAX_FUNCTIONS:
                    continue
                self._functions.add(name)
            counts_as = "a write of every table" if writes else "a read of every table"
            fields: Fields = {"function": name, "counts_as": counts_as, "statement": statement}
            _emit(_FAULTS, logging.WARNING, "unknown_function", fields | {"advice": FUNCTION})

    def loop_unsupported(self) -> None:
        """Warn that requests bypass the cache, because their event loop is not asyncio's: once a minute."""
        self._warn_once("loop_unsupported", "event-loop")

    def off_in_development(self, because: str) -> None:
        """Warn that nothing is cached, because the application is being edited; `because` says who told."""
        _emit(_FAULTS, logging.WARNING, "off_in_development", {"because": because})

    def _warn_once(self, event: str, reason: str, fields: Fields | None = None) -> None:
        if not _FAULTS.isEnabledFor(logging.WARNING):
            return
        with self._lock:
            first = self._recent.first((event, reason))
        if first:
            _emit(_FAULTS, logging.WARNING, event, fields or {"reason": reason})

    def failed(self, event: str) -> None:
        """Log the exception being handled, an internal error: once a minute per event."""
        if not _FAULTS.isEnabledFor(logging.ERROR):
            return
        with self._lock:
            first = self._recent.first((event,))
        if first:
            structured: Fields = {"event": event}
            _FAULTS.error(f"event={event}", exc_info=True, extra={"cachemw": structured})

    def flags_file_refused(self, path: str, mistakes: Sequence[str]) -> None:
        """Warn that this machine's file of flags is not applied, with its mistakes."""
        shown = "; ".join(mistakes[:MAX_MISTAKES])
        more = f"; and {len(mistakes) - MAX_MISTAKES} more" if len(mistakes) > MAX_MISTAKES else ""
        self._fault("flags_file_refused", {"path": path, "mistakes": shown + more})

    def redis_error(self, redis: str, error: str) -> None:
        """Warn that Redis fails: its URL without secrets, and what it does; once a minute per error."""
        self._warn_once("redis_error", error, {"redis": redis, "error": error})

    def flags_mirror_failed(self, path: str, error: str) -> None:
        """Warn that the copy of the live flags cannot be written on this machine."""
        self._fault("flags_mirror_failed", {"path": path, "error": error})

    def plan_incomplete(self, warning: str) -> None:
        """Warn that the rollout's plan leaves a risk class as configured."""
        self._fault("plan_incomplete", {"warning": warning})

    def flags_unknown(self) -> None:
        """Warn that nothing is let in, because Redis has never answered: once a minute."""
        self._warn_once("flags_unknown", "redis-away")

    def breaker_opened(self, redis: str) -> None:
        """Warn that Redis, at this URL without secrets, is not used for a while."""
        self._fault("breaker_opened", {"redis": redis})

    def breaker_closed(self, redis: str, seconds: float) -> None:
        """Warn that Redis, at this URL without secrets, is used again after so many seconds."""
        self._fault("breaker_closed", {"redis": redis, "seconds": round(seconds, 3)})

    def log_lost(self, error: str) -> None:
        """Warn that the invalidation log, which was followed, cannot be read; `error` says why."""
        self._fault("log_lost", {"error": error})

    def log_regained(self, seconds: float, records: int) -> None:
        """Warn that the log is followed again, with the seconds and the records in between."""
        self._fault("log_regained", {"seconds": round(seconds, 3), "records": records})

    def log_late(self, seconds: float) -> None:
        """Warn that the log's thread was not run, and for how long no purge has waited: once a minute."""
        self._warn_once("log_late", "", {"seconds": round(seconds, 3), "help": NOT_RUN})

    def threads_missing(self, server: str, option: str) -> None:
        """Warn that a server runs no threads between requests, and which option makes it run them."""
        self._fault("threads_missing", {"server": server, "set": option, "help": WITHOUT_THREADS})

    def purges_unsent(self, count: int) -> None:
        """Warn that this process ended with purges that it could not send to Redis."""
        self._fault("purges_unsent", {"count": count})

    def rollout(self, action: str, phase: str, step: str, reason: str) -> None:
        """Warn that a rollout was moved, and why."""
        fields: Fields = {"action": action, "phase": phase, "step": step, "reason": reason}
        self._fault("rollout", fields)

    def webhook_failed(self, error: str) -> None:
        """Warn that a report to the webhook failed: once a minute per error."""
        self._warn_once("webhook_failed", error)

    def memory_pressure(self, level: str, used: int, limit: int, shed: int) -> None:
        """Warn that the bytes in use have reached this level, which begins at `limit`."""
        fields: Fields = {"level": level, "used": used, "limit": limit, "shed": shed}
        self._fault("memory_pressure", fields)

    def memory_relieved(self, level: str, used: int, shed: int, seconds: float) -> None:
        """Warn that the pressure is over, with its highest level and the number of entries dropped."""
        fields: Fields = {"level": level, "used": used, "shed": shed, "seconds": round(seconds, 3)}
        self._fault("memory_relieved", fields)

    def _fault(self, event: str, fields: Fields) -> None:
        if _FAULTS.isEnabledFor(logging.WARNING):
            _emit(_FAULTS, logging.WARNING, event, fields)


def _emit(logger: logging.Logger, level: int, event: str, fields: Fields) -> None:
    structured: Fields = {"event": event, **fields}
    message = " ".join(f"{name}={_quote(value)}" for name, value in structured.items())
    logger.log(level, message, extra={"cachemw": structured})


def _quote(value: str | int | float) -> str:
    text = str(value)
    # JSON writes everything that is not ASCII as an escape.
    return text if _PLAIN.fullmatch(text) and printable(text) == text else json.dumps(text)


class JsonFormatter(logging.Formatter):
    """A formatter of one JSON object per line: time (UTC), level, logger, and fields or message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a record of another logger has its text as `message`."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "cachemw", None)
        line.update(fields if isinstance(fields, dict) else {"message": record.getMessage()})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
