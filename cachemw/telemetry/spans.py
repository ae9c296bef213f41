"""Spans where real work happens, and the cache's facts on the server span that is there already.

With no SDK configured each of these costs a fraction of a microsecond. Whatever OpenTelemetry
raises is swallowed here: a request never fails for the sake of its trace (I3).
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

_tracer: Tracer = trace.get_tracer(SCOPE)  # a proxy until the application sets a provider


def mark_server_span(route_template: str, outcome: str, tier: str) -> None:
    """Say on the current span, if it records, which route matched and how it was answered.

    A hit never reaches the framework's router, so nobody else would set `http.route`.
    """
    try:
        if not get_current():  # an empty context has no span, and this is the cheapest question
            return
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes({HTTP_ROUTE: route_template, OUTCOME: outcome, TIER: tier})
    except Exception:
        return


class _NoSpan:
    """What surrounds work where nobody records spans."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def set(self, name: str, value: AttributeValue) -> None:
        """Set nothing."""

    def __exit__(self, *_: object) -> None:
        return None


_NO_SPAN = _NoSpan()


def _scope(name: str, kind: SpanKind, attributes: Attributes) -> _SpanScope | _NoSpan:
    """Start a span, whose scope is to be entered at once."""
    try:
        span = _tracer.start_span(name, kind=kind, attributes=attributes)
    except Exception:
        return _NO_SPAN
    return _NO_SPAN if span is INVALID_SPAN else _SpanScope(span)


class _SpanScope:
    """A span that is the current one inside a `with` block, and never raises of its own."""

    __slots__ = ("span", "token")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.token: Token[Context] | None = None

    def __enter__(self) -> Self:
        # An unsampled span has to become current too, or its children would be sampled anew.
        with suppress(Exception):
            self.token = attach(trace.set_span_in_context(self.span))
        return self

    def set(self, name: str, value: AttributeValue) -> None:
        """Set an attribute, such as `cachemw.outcome`; never a key, URL or cookie."""
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
            # A cancelled request is no fault, and messages may hold what belongs to a person.
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
    """Return an internal span around calling the application, which nests its own spans in it."""
    return _scope("cachemw.origin", SpanKind.INTERNAL, {HTTP_ROUTE: route_template})
