from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from cachemw.telemetry import spans
from cachemw.telemetry.spans import mark_server_span, span_lookup, span_origin, span_store


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("cachemw"))
    yield exporter
    provider.shutdown()


def test_the_recording_server_span_gets_route_outcome_and_tier(
    exported: InMemorySpanExporter,
) -> None:
    with spans._tracer.start_as_current_span("GET", kind=SpanKind.SERVER):
        mark_server_span("/products/{id}", "hit", "memory")
    (span,) = exported.get_finished_spans()
    assert dict(span.attributes or {}) == {
        "http.route": "/products/{id}",
        "cachemw.outcome": "hit",
        "cachemw.tier": "memory",
    }


def test_without_a_current_span_marking_does_nothing(exported: InMemorySpanExporter) -> None:
    mark_server_span("/", "hit", "memory")
    assert exported.get_finished_spans() == ()


def test_work_spans_nest_and_say_what_they_are(exported: InMemorySpanExporter) -> None:
    with spans._tracer.start_as_current_span("GET", kind=SpanKind.SERVER):
        with span_lookup() as lookup:
            lookup.set("cachemw.outcome", "miss")
        with span_origin("/orders"), spans._tracer.start_as_current_span("SELECT"):
            pass
        with span_store():
            pass
    by_name = {span.name: span for span in exported.get_finished_spans()}
    server = by_name["GET"]
    assert {name: (span.kind, dict(span.attributes or {})) for name, span in by_name.items()} == {
        "GET": (SpanKind.SERVER, {}),
        "SELECT": (SpanKind.INTERNAL, {}),
        "cachemw.lookup": (
            SpanKind.CLIENT,
            {"db.system.name": "redis", "cachemw.outcome": "miss"},
        ),
        "cachemw.origin": (SpanKind.INTERNAL, {"http.route": "/orders"}),
        "cachemw.store": (SpanKind.CLIENT, {"db.system.name": "redis"}),
    }
    parents = {name: span.parent and span.parent.span_id for name, span in by_name.items()}
    assert parents == {
        "GET": None,
        "SELECT": by_name["cachemw.origin"].context.span_id,
        **dict.fromkeys(
            ("cachemw.lookup", "cachemw.origin", "cachemw.store"), server.context.span_id
        ),
    }


def test_an_exception_marks_the_span_and_passes_without_its_message(
    exported: InMemorySpanExporter,
) -> None:
    with pytest.raises(KeyError), span_origin("/"):
        raise KeyError("somebody's name")
    (span,) = exported.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert "somebody" not in span.to_json()


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
def test_a_cancelled_request_is_no_error(
    exported: InMemorySpanExporter, error: type[BaseException]
) -> None:
    with pytest.raises(error), span_origin("/"):
        raise error
    (span,) = exported.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET


def test_an_unsampled_origin_span_is_current_so_that_its_children_are_unsampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails when only recording spans are attached."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("cachemw"))
    with span_origin("/") as scope:
        assert trace.get_current_span() is scope.span
        assert not scope.span.is_recording()
        assert scope.span.get_span_context().is_valid
    assert trace.get_current_span() is trace.INVALID_SPAN


class BrokenSpan(trace.NonRecordingSpan):
    def __init__(self) -> None:
        super().__init__(trace.SpanContext(1, 1, is_remote=False))

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, *_: Any) -> None:
        raise RuntimeError("broken")

    def set_attributes(self, *_: Any) -> None:
        raise RuntimeError("broken")

    def end(self, *_: Any) -> None:
        raise RuntimeError("broken")


class BrokenTracer(trace.NoOpTracer):
    def start_span(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")


class BrokenSpanTracer(trace.NoOpTracer):
    def start_span(self, *_: Any, **__: Any) -> Any:
        return BrokenSpan()


@pytest.mark.parametrize("tracer", [BrokenTracer(), BrokenSpanTracer()])
def test_what_opentelemetry_raises_reaches_no_request(
    monkeypatch: pytest.MonkeyPatch, tracer: Tracer
) -> None:
    monkeypatch.setattr(spans, "_tracer", tracer)
    with span_lookup() as scope:
        scope.set("cachemw.outcome", "hit")
        mark_server_span("/", "hit", "shared")
    assert trace.get_current_span() is trace.INVALID_SPAN
    with trace.use_span(BrokenSpan()):
        mark_server_span("/", "hit", "memory")


def test_without_an_sdk_everything_is_cheap() -> None:
    """In a process of its own, with no provider set; bounds are three times a quiet machine's."""
    program = """
import timeit
from cachemw.telemetry.spans import mark_server_span, span_lookup
def span():
    with span_lookup():
        pass
def cost(call):
    # Short bursts: some of them run undisturbed on a busy machine too.
    return min(timeit.repeat(call, number=200, repeat=300)) / 200 * 1e9
mark, lookup = cost(lambda: mark_server_span("/", "hit", "memory")), cost(span)
assert mark <= 3 * 700, mark
assert lookup <= 3 * 2500, lookup
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
