"""Spans where real work happens, and the cache's facts on the server span that is there already.

With no SDK configured each of these costs a fraction of a microsecond. Whatever OpenTelemetry
raises is swallowed here: a request never fails for the sake of its trace (I3).
"""

from __future__ import annotations

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


class _SpanScope:
    """A span that is the current one inside a `with` block, and never raises of its own."""

    __slots__ = ("attributes", "kind", "name", "span", "token")

    def __init__(self, name: str, kind: SpanKind, attributes: Attributes | None = None) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.span: Span = INVALID_SPAN
        self.token: Token[Context] | None = None

    def __enter__(self) -> Self:
        try:
            span = _tracer.start_span(self.name, kind=self.kind, attributes=self.attributes)
            # An unsampled span has to become current too, or its children would be sampled anew.
            if span is not INVALID_SPAN:
                self.span = span
                self.token = attach(trace.set_span_in_context(span))
        except Exception:
            return self
        return self

    def set(self, name: str, value: AttributeValue) -> None:
        """Set an attribute, such as `cachemw.outcome`; never a key, URL or cookie."""
        if self.span is not INVALID_SPAN:
            try:
                self.span.set_attribute(name, value)
            except Exception:
                return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.span is INVALID_SPAN:
            return
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


def span_lookup() -> _SpanScope:
    """Return a client span around reading the shared store."""
    return _SpanScope("cachemw.lookup", SpanKind.CLIENT, _REDIS)


def span_store() -> _SpanScope:
    """Return a client span around writing the shared store."""
    return _SpanScope("cachemw.store", SpanKind.CLIENT, _REDIS)


def span_origin(route_template: str) -> _SpanScope:
    """Return an internal span around calling the application, which nests its own spans in it."""
    return _SpanScope("cachemw.origin", SpanKind.INTERNAL, {HTTP_ROUTE: route_template})
