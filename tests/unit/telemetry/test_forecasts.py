"""Forecasts: what routes in shadow would do, as counts."""

from __future__ import annotations

from cachemw import Cache
from cachemw.telemetry.forecasts import Forecasts


def test_counts_are_kept_by_route() -> None:
    forecasts = Forecasts()
    forecasts.add("a", ["requests", "hits"])
    forecasts.add("a", ["requests"])
    forecasts.add("b", ["replaced"])
    assert forecasts.report() == {"a": {"requests": 2, "hits": 1}, "b": {"replaced": 1}}
    forecasts.reset_after_fork()
    assert forecasts.report() == {}


def test_a_forked_process_begins_without_any() -> None:
    """Guard: `Core.reset_after_fork` lists them."""
    cache = Cache.from_dict({"routes": []})
    cache._core.reporter.forecasts.add("a", ["requests"])
    assert cache.stats().forecasts == {"a": {"requests": 1}}
    cache._core.reset_after_fork()
    assert cache.stats().forecasts == {}
