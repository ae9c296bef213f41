"""A configured plan: its risk classes are off until it lets them in, and no class is forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachemw import Cache, ConfigError

PLAN = """\
warm_up = 0
[[phases]]
name = "first"
risks = ["low"]
duration = "1h"
watch = ["errors"]
steps = ["shadow", "on"]
"""
ROUTES = [
    {"name": "pages", "path": "/pages", "ttl": "60s", "risk": "low"},
    {"name": "orders", "path": "/orders", "ttl": "60s", "risk": "high"},
]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def cache(plan: Path) -> Iterator[Cache]:
    made = Cache.from_dict({"routes": ROUTES, "rollout": {"plan": str(plan)}})
    yield made
    made.close()


def test_its_classes_are_off_until_it_lets_them_in(cache: Cache) -> None:
    # Guard: `gated_flags` in `make_flags`.
    assert cache.flags.states()["route:pages"] == "off"
    cache.rollout.start()
    assert cache.flags.states()["route:pages"] == "shadow"
    cache.rollout.promote()
    assert cache.flags.states()["route:pages"] == "on"


def test_without_a_plan_named_it_is_the_one_that_begins(cache: Cache) -> None:
    assert [phase["name"] for phase in cache.rollout.start().plan["phases"]] == ["first"]


def test_a_class_without_a_phase_stays_as_configured_and_is_warned_about(
    plan: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cachemw.faults"):
        cache = Cache.from_dict({"routes": ROUTES, "rollout": {"plan": str(plan)}})
    assert cache.flags.states()["route:orders"] == "on"
    assert "event=plan_incomplete" in caplog.text
    assert "'high' (orders)" in caplog.text
    cache.rollout.start()
    assert "no phase names the risk class 'high'" in cache.rollout.history()[-1].reason
    cache.close()


def test_a_plan_with_mistakes_is_refused_at_start(plan: Path) -> None:
    plan.write_text(PLAN.replace('"low"', '"lwo"'))
    with pytest.raises(ConfigError, match="lwo"):
        Cache.from_dict({"routes": ROUTES, "rollout": {"plan": str(plan)}})


def test_a_rollback_of_everything_ends_the_holdout(cache: Cache) -> None:
    cache.rollout.start()
    assert cache.flags.states()["holdout"] == "5%"
    cache.rollout.roll_back(everything=True)
    assert cache.flags.states()["holdout"] == "off"
