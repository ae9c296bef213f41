"""A server that is too old is named, and used no more than one that is away."""

from __future__ import annotations

import logging
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from cachemw import Cache
from cachemw.cli.group import group
from cachemw.connections import versions
from cachemw.errors import StoreUnavailable
from cachemw.testing import RedisServer
from tests.support.caches import Caches, Site, options
from tests.support.waiting import until

from .following import records

TOO_OLD = "is too old: cachemw needs Redis 6.2 or later, or Valkey 7.2 or later"


@pytest.fixture
def any_server_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_LEAST", {"redis": (999, 0), "valkey": (999, 0)})


def test_a_server_that_is_too_old_is_named_and_not_used(
    caches: Caches,
    redis_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Guards: `refuse_old_server` in `_join`, in `Appender._failed` and in `FlagDocument.exchange`.
    used = Site(caches.make())
    used.get("/things/7")
    before = records(redis_server)
    monkeypatch.setattr(versions, "_LEAST", {"redis": (999, 0), "valkey": (999, 0)})
    site = Site(Cache.from_dict(options(caches.url)))
    with caplog.at_level(logging.WARNING, "cachemw"), closing(site.cache):
        site.cache.start()
        until(lambda: caplog.messages)
        assert not site.cache.log.live
        assert "detail=shared" not in site.get("/things/7").cache_status
        assert not site.cache.flags.set({"low": "off"})
    assert TOO_OLD in caplog.messages[0]
    assert caplog.messages[0].startswith("event=redis_error ")
    assert records(redis_server) == before
    assert used.hits("/things/7")


@pytest.mark.usefixtures("any_server_is_old")
def test_a_purge_that_an_old_server_refuses_purges_nothing_else(
    own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    # Guard: `_refusal_of_old_server`. Redis before 6.2 refuses XADD NOMKSTREAM, as this user may not send it.
    own_redis_server.command("ACL", "SETUSER", "default", "-xadd")
    cache = Cache.from_dict(options(own_redis_server.url))
    with caplog.at_level(logging.WARNING, "cachemw"), closing(cache):
        result = cache.purge(tags=["thing:7"])
    assert (result.status, result.everything) == ("queued", False)
    assert TOO_OLD in caplog.messages[0]


@pytest.mark.usefixtures("any_server_is_old")
def test_commands_name_an_old_server_too(redis_url: str, tmp_path: Path) -> None:
    # Guards: `refuse_old_server` in `_check_server`, `FlagDocument.read` and `RolloutDocuments.exchange`,
    # and in `Appender._failed`, which asks when a record is refused.
    path = tmp_path / "cachemw.toml"
    path.write_text(f'namespace = "shared"\nredis = "{redis_url}"\n')
    for command in (["check", str(path), "--connect"], ["flags", "--config", str(path)]):
        done = CliRunner().invoke(group, command)
        assert done.exit_code == 1
        assert TOO_OLD in done.stderr
    phase = {"name": "one", "risks": ["low"], "duration": "1h", "watch": ["errors"]}
    cache = Cache.from_dict(options(redis_url))
    with closing(cache), pytest.raises(StoreUnavailable, match="is too old"):
        cache.rollout.start({"phases": [phase]})


def test_a_user_who_may_not_ask_for_the_version_is_trusted(own_redis_server: RedisServer) -> None:
    with closing(Redis.from_url(own_redis_server.url, protocol=2)) as client:
        versions.refuse_old_server(client)
        client.acl_setuser("default", enabled=True, nopass=True, keys="*", commands=["+@all"])
        client.execute_command("ACL SETUSER default -hello -info")
        versions.refuse_old_server(client)


@pytest.mark.parametrize("asked", ["HELLO", "INFO"])
@pytest.mark.usefixtures("any_server_is_old")
def test_the_version_is_asked_for_in_two_ways(own_redis_server: RedisServer, asked: str) -> None:
    if asked == "INFO":  # as Redis before 6.0, which does not know HELLO
        own_redis_server.command("ACL", "SETUSER", "default", "-hello")
    with (
        closing(Redis.from_url(own_redis_server.url, protocol=2)) as client,
        pytest.raises(StoreUnavailable, match="is too old"),
    ):
        versions.refuse_old_server(client)


@pytest.mark.parametrize(
    ("name", "version", "old"),
    [
        ("redis", "6.0.16", True),
        ("redis", "5.0.6", True),
        ("redis", "6.2.0", False),
        ("redis", "7.0.15", False),
        ("redis", "10.0.0", False),
        ("valkey", "7.1.9", True),
        ("valkey", "7.2.5", False),
        ("valkey", "9.1.2", False),
        ("another", "1.0.0", False),
        ("redis", "", False),
        ("redis", "unstable", False),
    ],
)
def test_versions_are_compared_by_number(name: str, version: str, old: bool) -> None:
    class Client:
        def execute_command(self, command: str) -> list[bytes]:
            return [b"server", name.encode(), b"version", version.encode(), b"proto", b"2"]

    refusal = f"{name.capitalize()} {version} {TOO_OLD}"
    with pytest.raises(StoreUnavailable, match=f"^{refusal}$") if old else nullcontext():
        versions.refuse_old_server(Client())
