"""OpenTelemetry as an application has it, so that what is measured pays for being watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider

from bench.timing import Subject

__all__ = ["export_metrics", "in_server_span"]

EVERY_MILLISECONDS = 1000
"""A minute is usual; by then many rounds would have seen no export at all."""


class _Nowhere(MetricExporter):
    """Takes what was collected, and drops it."""

    def export(self, *_: Any, **__: Any) -> MetricExportResult:
        """Drop it."""
        return MetricExportResult.SUCCESS

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Have nothing to end."""

    def force_flush(self, *_: Any, **__: Any) -> bool:
        """Have nothing to flush."""
        return True


def export_metrics() -> Callable[[], None]:
    """Collect and export the metrics of every cache in this process; gives what ends it."""
    reader = PeriodicExportingMetricReader(
        _Nowhere(), export_interval_millis=float(EVERY_MILLISECONDS)
    )
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return provider.shutdown


def in_server_span(name: str, subject: Subject) -> Subject:
    """Measure a subject while a recording server span is current, as under an instrumented server."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("bench").start_span("GET")

    def measured() -> float:
        with trace.use_span(span):
            return subject.round()

    return Subject(name, measured)
