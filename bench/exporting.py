"""OpenTelemetry, set up as in an application, so that the measurements include its cost."""

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
"""Interval of the exports. One minute is usual, but then most rounds would contain no export."""


class _Nowhere(MetricExporter):
    """An exporter that drops everything."""

    def export(self, *_: Any, **__: Any) -> MetricExportResult:
        """Drop the metrics."""
        return MetricExportResult.SUCCESS

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def force_flush(self, *_: Any, **__: Any) -> bool:
        """Do nothing."""
        return True


def export_metrics() -> Callable[[], None]:
    """Start to collect and export the metrics of every cache; return a function that stops it."""
    reader = PeriodicExportingMetricReader(
        _Nowhere(), export_interval_millis=float(EVERY_MILLISECONDS)
    )
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return provider.shutdown


def in_server_span(name: str, subject: Subject) -> Subject:
    """Return the subject inside a recording server span, as under an instrumented server."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("bench").start_span("GET")

    def measured() -> float:
        with trace.use_span(span):
            return subject.round()

    return Subject(name, measured)
