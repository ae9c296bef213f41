"""The model: what is made from what is written, from a file or directly."""

from __future__ import annotations

import dataclasses
import logging
import tomllib
import traceback
from typing import Any

import pytest

from cachemw.config import Config, Kind, MemorySettings, RedisSettings, Route, config_from
from cachemw.errors import ConfigError, Problem

SHOP = """
namespace = "shop"
redis = "redis://localhost:6379/0"

[memory]
max_size = "256MiB"
planned_size = "128MiB"

[kinds.product]
ttl = "60s"

[[routes]]
name = "products"
path = "/products/{id}"
kind = "product"
risk = "medium"
query = ["currency"]
vary = ["Accept-Language"]
cookies = []
stale_while_revalidate = "30s"
stale_if_error = "10m"
tags = ["product:{id}", "catalog"]
"""

PYTHON_SHOP = Config(
    namespace="shop",
    redis=RedisSettings(url="redis://localhost:6379/0"),
    memory=MemorySettings(max_size=256 * 2**20, planned_size=128 * 2**20),
    kinds={"product": Kind(ttl=60)},
    routes=[
        Route(
            name="products",
            path="/products/{id}",
            kind="product",
            ttl=60.0,
            risk="medium",
            query=["currency"],
            vary=["accept-language"],
            cookies=[],
            stale_while_revalidate=30,
            stale_if_error=600,
            tags=["product:{id}", "catalog"],
            max_size=2 * 2**20,
        )
    ],
)


def test_a_file_and_python_make_the_same_configuration() -> None:
    assert config_from(tomllib.loads(SHOP), environ={}) == PYTHON_SHOP


def test_a_configuration_written_out_and_read_again_is_the_same() -> None:
    written: dict[str, Any] = dataclasses.asdict(PYTHON_SHOP)
    assert config_from(written, environ={}) == PYTHON_SHOP


def test_an_empty_configuration_has_the_documented_defaults() -> None:
    config = config_from({}, environ={})
    assert config == Config()
    assert (config.namespace, config.redis, config.routes) == ("default", None, ())
    assert (config.memory.max_size, config.memory.planned_size) == (None, None)
    assert (config.coalesce.wait, config.coalesce.hit_for_miss) == (5.0, 10.0)
    assert (config.log.partition_limit, config.log.confirm_wait, config.log.poll) == (30, 0.25, 0.5)
    assert (config.compression.threshold, config.compression.level) == (1024, 3)
    assert config.flags == {"low": "on", "medium": "on", "high": "on"}
    assert config.log_levels == {"low": "info", "medium": "info", "high": "info"}
    assert config.consistency == {"low": "bounded", "medium": "bounded", "high": "bounded"}
    assert (config.kill, config.x_cache) == (False, False)
    assert (config.flags_file, config.flags_mirror) == (None, True)
    assert (config.secret, config.digest_secret) == (None, None)
    assert (config.log_rate, config.refresh_workers) == (200, 4)


def test_redis_has_the_documented_defaults() -> None:
    redis = RedisSettings(url="redis://h")
    assert (redis.deadline, redis.pool_size, redis.pool_wait) == (0.05, 20, 0.01)
    assert (redis.breaker_failures, redis.breaker_reset) == (5, 1.0)


def test_a_route_has_the_safe_defaults() -> None:
    route = Route(path="/p", ttl="response")
    assert (route.ttl, route.risk, route.enabled, route.methods) == (
        "response",
        "high",
        True,
        ("GET",),
    )
    assert (route.query, route.ignore_query, route.vary, route.cookies) == (None, (), (), None)
    assert (route.stale_while_revalidate, route.stale_if_error, route.negative_ttl) == (None,) * 3
    assert (route.max_size, route.mount, route.identity, route.tags) == (2097152, None, None, ())


@pytest.mark.parametrize(
    ("route", "kind", "risk", "consistency"),
    [
        (None, None, {}, "bounded"),
        (None, None, {"low": "strict"}, "bounded"),
        (None, None, {"high": "strict"}, "strict"),
        (None, "bounded", {"high": "strict"}, "bounded"),
        (None, "strict", {}, "strict"),
        ("bounded", "strict", {"high": "strict"}, "bounded"),
        ("strict", "bounded", {}, "strict"),
    ],
)
def test_a_route_is_as_consistent_as_it_says_else_its_kind_else_its_risk_class(
    route: Any, kind: Any, risk: dict[str, str], consistency: str
) -> None:
    config = Config(
        kinds={"data": Kind(ttl=60, consistency=kind)},
        consistency=risk,
        routes=[Route(path="/p", risk="high", kind="data", consistency=route)],
    )
    assert config.routes[0].consistency == consistency


def test_a_risk_class_makes_its_routes_without_a_kind_strict_too() -> None:
    config = Config(consistency={"high": "strict"}, routes=[Route(path="/p", ttl=60, risk="high")])
    assert config.routes[0].consistency == "strict"


def test_a_flag_for_one_class_leaves_the_others_on() -> None:
    config = Config(flags={"low": "off"}, log_levels={"high": "debug"})
    assert config.flags == {"low": "off", "medium": "on", "high": "on"}
    assert config.log_levels == {"low": "info", "medium": "info", "high": "debug"}


def test_a_kind_fills_only_what_its_route_leaves_out() -> None:
    kind = Kind(ttl="1h", stale_if_error="5m", stale_while_revalidate="1m", max_size="8MiB")
    config = Config(
        kinds={"k": kind},
        routes=[
            Route(path="/a", kind="k"),
            Route(path="/b", kind="k", ttl=1, stale_if_error=0, max_size="1KiB"),
        ],
    )
    first, second = config.routes
    assert (first.kind, first.ttl, first.stale_if_error, first.max_size) == ("k", 3600, 300, 2**23)
    assert (second.ttl, second.stale_if_error, second.max_size) == (1, 0, 1024)
    assert second.stale_while_revalidate == 60
    assert config.resolved_routes() == config.routes


def test_a_kind_without_a_body_limit_leaves_the_default() -> None:
    config = Config(kinds={"k": Kind(ttl=1)}, routes=[Route(path="/a", kind="k")])
    assert config.routes[0].max_size == 2 * 2**20


@pytest.mark.parametrize(
    ("path", "mount", "name"),
    [
        ("/products/{id:int}", None, "products-id"),
        ("/", None, "root"),
        ("/a.b/{rest:path}", "/api", "api-a.b-rest"),
        ("/é", "", "root"),
    ],
)
def test_a_route_without_a_name_is_named_after_its_path(
    path: str, mount: str | None, name: str
) -> None:
    assert Route(path=path, mount=mount, ttl=1).name == name


def test_a_narrow_route_before_a_wide_one_is_fine() -> None:
    paths = ["/p/new", "/p/{n:int}", "/p/v{n}", "/p/{slug}", "/p/{slug}/", "/p", "/{rest:path}"]
    config = Config(
        routes=[Route(path=path, ttl=1, name=f"r{i}") for i, path in enumerate(paths)],
    )
    assert [route.path for route in config.routes] == paths


def test_one_template_at_two_mounts_is_fine() -> None:
    Config(routes=[Route(path="/p", mount=mount, ttl=1) for mount in ("/a", "/b", "")])


def test_a_route_made_in_python_is_checked_when_made() -> None:
    with pytest.raises(ConfigError) as caught:
        Route(path="/p/{id}", ttl="soon", tags=["{x}"], methods=["PUT"])
    assert [problem.path for problem in caught.value.problems] == ["ttl", "methods[0]", "tags[0]"]
    assert caught.value.source == "Route"


def test_a_configuration_made_in_python_is_checked_when_made() -> None:
    with pytest.raises(ConfigError) as caught:
        Config(namespace="", redis="x", routes=[{"path": "/p"}, Route(path="/q", kind="k")])
    assert [problem.path for problem in caught.value.problems] == [
        "namespace",
        "redis",
        "routes[0].ttl",
        "routes[1].kind",
    ]


def test_a_required_option_left_out_is_a_config_error() -> None:
    with pytest.raises(ConfigError) as caught:
        RedisSettings()  # type: ignore[call-arg]
    assert [problem.path for problem in caught.value.problems] == ["url"]


def test_replacing_an_option_checks_again() -> None:
    route = Route(path="/p", ttl="60s")
    assert dataclasses.replace(route, ttl="5m").ttl == 300
    with pytest.raises(ConfigError):
        dataclasses.replace(route, ttl="soon")


def test_options_cannot_be_assigned() -> None:
    route = Route(path="/p", ttl="60s")
    with pytest.raises(dataclasses.FrozenInstanceError):
        route.ttl = 5  # type: ignore[misc]


PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("rediss://app:hunter2@h/0", "rediss://app:***@h/0"),
        ("redis://app:hun@hunter2@h", "redis://app:***@h"),
        ("redis://hunter2@h", "redis://***@h"),
        ("redis://h?password=hunter2&db=1", "redis://h?password=***&db=1"),
        ("rediss://h?ssl_password=hunter2", "rediss://h?ssl_password=***"),
        ("unix://app:hunter2@/run/redis.sock?db=1", "unix://app:***@/run/redis.sock?db=1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        (
            "redis+sentinel://app:hunter2@a:1,b:2/m/0?sentinel_password=hunter2",
            "redis+sentinel://app:***@a:1,b:2/m/0?sentinel_password=***",
        ),
        ("redis+cluster://:hunter2@a,b", "redis+cluster://:***@a,b"),
    ],
)
def test_the_password_of_a_url_is_never_shown(url: str, shown: str) -> None:
    config = Config(redis=url)
    assert config.redis is not None
    assert (config.redis.url, config.redis.safe_url) == (url, shown)
    assert PASSWORD not in f"{config!r} {config} {config.redis!r} {config.redis}"


@pytest.mark.parametrize(
    "document",
    [
        {"redis": "redis//:hunter2@h"},
        {"redis": "redis://:hunter2"},
        {"redis": "redis://:hunter2/x@h"},
        {"redis": "redis://:12/hunter2@h"},
        {"redis": "redis://:12?hunter2@h/x"},
        {"redis": "redis://:12#hunter2@h"},
        {"redis": "redis://[hunter2@h"},
        {"redis": "redis://:hunter2@h /0"},
        {"redis": "redis://:x@h:hunter2"},
        {"redis": "unix://:hunter2@h"},
        {"redis": "unix://:p/hunter2@/run/redis.sock"},
        {"redis": ["redis://:hunter2@h"]},
        {"redis": {"url": ["redis://:hunter2@h"]}},
        {"redis": {"uri": "redis://:hunter2@h"}},
        {"memory": {"max_size": "redis://:hunter2@h"}},
        {"memory": "redis://:hunter2@h"},
        {"log": {"redis": {"url": "redis://:hunter2@h"}}},
        {"namespace": {"redis://h": "hunter2"}},
        {"namespace": ["hunter2"]},
        {"secret": "hunter2"},
        {"secret": ["hunter2"]},
        {"secret": ["hunter2hunter2hunter2"] * 2},
        {"secret": {"hunter2": "hunter2hunter2hunter2"}},
        {"digest_secret": "hunter2"},
    ],
    ids=str,
)
def test_secrets_are_in_no_error_message(document: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(document, environ={})
    assert PASSWORD not in "".join(traceback.format_exception(caught.value, chain=True))
    assert caught.value.__context__ is None


def test_the_secret_is_in_no_printed_configuration(caplog: pytest.LogCaptureFixture) -> None:
    secrets = ["0123456789abcdef", "fedcba9876543210"]
    config = Config(secret=secrets, digest_secret="of the digests, all")
    logging.getLogger("test").warning("%r", config)
    assert not [each for each in (*secrets, config.digest_secret) if str(each) in caplog.text]
    assert config.secret == tuple(secrets)
    assert Config(secret=secrets[0]).secret == (secrets[0],)


def test_problems_are_pairs_of_path_and_message() -> None:
    with pytest.raises(ConfigError) as caught:
        MemorySettings(max_size=0)
    assert caught.value.problems == (Problem("max_size", "expected a size above zero, got 0"),)
