"""Spans around real work, and attributes of the cache on the server's own span.

A memory hit makes no span: a span costs more than the whole hit (15 to 36 µs with the SDK). Without an
SDK a work span costs about one microsecond. Whatever OpenTelemetry raises is ignored here, because a
request must not fail for its trace (I3).
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

__all__ = ["mark_server_span", "span_lookup", "span_origin", "span_store"]

Attributes = dict[str, AttributeValue]

SCOPE: Final = "cachemw"
HTTP_ROUTE: Final = "http.route"
OUTCOME: Final = "cachemw.outcome"
TIER: Final = "cachemw.tier"

_REDIS: Final[Attributes] = {"db.system.name": "redis"}

_tracer: Tracer = trace.get_tracer(SCOPE)  # a proxy that follows the provider set later


def mark_server_span(route_template: str, outcome: str, tier: str) -> None:
    """Set route, outcome and tier on the current span, if it records.

    On a hit the framework's router does not run, so nothing else would set `http.route`.
    """
    try:
        if not get_current():  # an empty context has no span; this is the cheapest check
            return
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes({HTTP_ROUTE: route_template, OUTCOME: outcome, TIER: tier})
    except Exception:
        return


class _NoSpan:
    """A stand-in for a span where no spans are recorded."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def set(self, name: str, value: AttributeValue) -> None:
        """Set nothing."""

    def __exit__(self, *_: object) -> None:
        return None


_NO_SPAN = _NoSpan()


def _scope(name: str, kind: SpanKind, attributes: Attributes) -> _SpanScope | _NoSpan:
    """Start a span; the caller enters the scope at once."""
    try:
        span = _tracer.start_span(name, kind=kind, attributes=attributes)
    except Exception:
        return _NO_SPAN
    return _NO_SPAN if span is INVALID_SPAN else _SpanScope(span)


class _SpanScope:
    """A span that is current inside a `with` block. Its own errors are ignored."""

    __slots__ = ("span", "token")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.token: Token[Context] | None = None

    def __enter__(self) -> Self:
        # An unsampled span must become current too, or its children would be sampled on their own.
        with suppress(Exception):
            self.token = attach(trace.set_span_in_context(self.span))
        return self

    def set(self, name: str, value: AttributeValue) -> None:
        """Set an attribute such as `cachemw.outcome`. Never a key, a URL or a cookie (I1)."""
        with suppress(Exception):
            self.span.set_attribute(name, value)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.token is not None:
                detach(self.token)
            # CancelledError is not an Exception: a cancelled request is no error. Only the class name is
            # recorded, since a message may hold personal data (I1).
            if kind is not None and issubclass(kind, Exception):
                self.span.set_attribute("error.type", kind.__qualname__)
                self.span.set_status(Status(StatusCode.ERROR))
            self.span.end()
        except Exception:
            return


def span_lookup() -> _SpanScope | _NoSpan:
    """Return a client span around reading the shared store."""
    return _scope("cachemw.lookup", SpanKind.CLIENT, _REDIS)


def span_store() -> _SpanScope | _NoSpan:
    """Return a client span around writing the shared store."""
    return _scope("cachemw.store", SpanKind.CLIENT, _REDIS)


def span_origin(route_template: str) -> _SpanScope | _NoSpan:
    """Return an internal span around calling the application; its own spans nest in it."""
    return _scope("cachemw.origin", SpanKind.INTERNAL, {HTTP_ROUTE: route_template})
