"""A user with the permissions that docs/redis.md lists can do everything, and needs each of them.

If a test here names a command that is not listed, it is new: add it to docs/redis.md, and to
`cachemw/connections/permissions.py`. If it names one that is never sent, take it out of both.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from redis import Redis

from cachemw import Cache
from cachemw.cli.group import group
from cachemw.connections.nodes import Nodes
from cachemw.connections.permissions import KEYS, missing_permissions
from cachemw.testing import RedisCluster, RedisSentinel, RedisServer
from tests.support.caches import Caches, Site, caches_over, options
from tests.support.waiting import until

from .whole_life import live_once

PAGE = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
USER, SENTINEL_USER = (line.split() for line in re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE))
COMMANDS = [word[1:] for word in USER if word.startswith("+")]
NAME = b"cachemw:{shared}"


def also(where: str) -> list[str]:
    """Return what the page lists for a deployment, beside the commands for all."""
    (row,) = re.findall(rf"^\| {where}.*\| `(.*)` \|$", PAGE, re.MULTILINE)
    return str(row).replace("\\|", "|").split()


def set_user(server: Any, words: Iterable[str]) -> None:
    """Send a line of the page, for the namespace of these tests."""
    server.command(*(word.replace("{shop", "{shared").replace("PASSWORD", "pw") for word in words))


def with_user(url: str) -> str:
    return url.replace("://", "://shop:pw@")


@contextmanager
def watched(servers: list[RedisServer]) -> Iterator[set[str]]:
    """Collect the commands that the servers run inside the block; none may be refused."""
    sent: set[str] = set()
    for server in servers:
        server.command("ACL", "LOG", "RESET")
        server.command("CONFIG", "RESETSTAT")
    yield sent
    for server in servers:
        refused = server.command("ACL", "LOG")
        assert not refused, refused
        info = server.command("INFO", "commandstats")
        assert isinstance(info, bytes)
        sent.update(re.findall(r"^cmdstat_([^:]+):", info.decode(), re.MULTILINE))


def never_sent(listed: list[str], sent: set[str]) -> list[str]:
    # Redis 6.2 counts a command with all of its subcommands.
    return [each for each in listed if each not in sent and each.partition("|")[0] not in sent]


@contextmanager
def caches_of(server: RedisServer, without: str = "") -> Iterator[Caches]:
    """Make caches whose user has the permissions on the page, but one."""
    set_user(server, (word for word in USER if word != f"+{without}"))
    with caches_over(with_user(server.url)) as caches:
        yield caches


# -- one server ------------------------------------------------------------------------------------


def test_a_user_with_the_listed_permissions_can_do_all_and_needs_each(
    own_redis_server: RedisServer,
) -> None:
    with watched([own_redis_server]) as sent, caches_of(own_redis_server) as caches:
        live_once(caches)
    assert never_sent(COMMANDS, sent) == []


def test_other_databases_and_names_of_connections_need_what_is_listed(
    own_redis_server: RedisServer,
) -> None:
    more = [*also("a database other than 0"), *also("the option `client_name`")]
    set_user(own_redis_server, [*USER, *more])
    parts = urlsplit(with_user(own_redis_server.url))
    url = parts._replace(path="/3", query="&".join(filter(None, (parts.query, "client_name=shop"))))
    with watched([own_redis_server]) as sent, caches_over(url.geturl()) as caches:
        caches.make()
    assert never_sent([each[1:] for each in more], sent) == []


def test_the_search_finds_each_missing_permission(own_redis_server: RedisServer) -> None:
    for command in COMMANDS:
        set_user(own_redis_server, (word for word in USER if word != f"+{command}"))
        client = Redis.from_url(with_user(own_redis_server.url), protocol=2, max_connections=1)
        with closing(client):
            assert missing_permissions(client, NAME) == [command]
    until(lambda: own_redis_server.command("KEYS", "*probe*") == [])


def test_the_search_finds_keys_that_the_user_may_not_use(own_redis_server: RedisServer) -> None:
    set_user(own_redis_server, USER)
    with closing(Redis.from_url(with_user(own_redis_server.url), protocol=2)) as client:
        assert missing_permissions(client, NAME) == []
        assert missing_permissions(client, b"cachemw:{other}") == [KEYS]


def test_check_connect_says_what_to_add(own_redis_server: RedisServer, tmp_path: Path) -> None:
    # Guard: `_check_server`.
    path = tmp_path / "cachemw.toml"
    url = with_user(own_redis_server.url)
    path.write_text(f'namespace = "shared"\nredis = "{url}"\n')

    def check() -> dict[str, Any]:
        done = CliRunner().invoke(group, ["check", str(path), "--connect", "--json"])
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    set_user(own_redis_server, USER)
    assert check()["ok"]
    set_user(own_redis_server, (word for word in USER if word not in ("+xadd", "+eval")))
    (problem,) = check()["problems"]
    assert "the user may not do all; add to its ACL: +eval +xadd:" in problem["message"]
    own_redis_server.command("CONFIG", "SET", "maxmemory", 1)
    (problem,) = check()["problems"]
    assert "is full: give it more memory" in problem["message"]
    own_redis_server.command("CONFIG", "SET", "maxmemory", 0)
    set_user(own_redis_server, (word for word in USER if not word.startswith("~cachemw:{shop:")))
    (problem,) = check()["problems"]
    assert "add to its ACL: ~cachemw:{shared}:* ~cachemw:{shared:*:" in problem["message"]


# What sends it, and where its refusal is told.
TOLD = {
    "set": "Commands._failed, for an entry",
    "eval": "Commands._failed, for a lease",
    "xadd": "RedisLog._disconnected, where a new life begins",
    "xtrim": "RedisLog._trim",
    "xread": "RedisLog._disconnected",
    "exec": "RedisLog._disconnected, inside a transaction",
    "expire": "RedisParts._tick",
}


@pytest.mark.parametrize("command", TOLD)
def test_the_log_names_the_command_that_is_refused(
    own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    told = f"does not allow this user the command {command.upper()}: add +{command} to its ACL"
    with (
        caplog.at_level(logging.WARNING, "cachemw"),
        caches_of(own_redis_server, command) as caches,
    ):
        site = Site(caches.make(live=False))
        until(lambda: site.cache.log.live or told in caplog.text)
        site.get("/things/1")
        site.cache.purge(tags=["thing:1"])
        until(lambda: told in caplog.text)
    assert next(line for line in caplog.messages if told in line).startswith("event=redis_error ")


CHANGES: dict[str, Callable[[Cache], object]] = {
    "a purge": lambda cache: cache.purge(tags=["thing:1"]),
    "a flag": lambda cache: cache.flags.set(low="off"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_refused_later_is_told(
    own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    # Guards: `hooks.failed` in `Appender._failed` and in `FlagDocument.exchange`.
    with caplog.at_level(logging.WARNING, "cachemw"), caches_of(own_redis_server) as caches:
        cache = caches.make()
        own_redis_server.command("ACL", "SETUSER", "shop", "-xadd", "-del")
        CHANGES[change](cache)
        # At once: the log's thread would tell it too, when it has been refused itself.
        told = "does not allow this user the command XADD: add +xadd to its ACL"
        assert any(told in line for line in caplog.messages)


def test_heartbeats_that_may_not_be_read_are_not_deleted(own_redis_server: RedisServer) -> None:
    # Guard: `drop_dead` deletes the hash only where it is of another type.
    beats = "cachemw:{shared}:followers"
    own_redis_server.command("HSET", beats, "another", "1-0 1.000")
    set_user(own_redis_server, (word for word in USER if word != "+hgetall"))
    cache = Cache.from_dict(options(with_user(own_redis_server.url)))
    with closing(cache):
        cache.start()
        until(lambda: own_redis_server.command("ACL", "LOG"))
        assert own_redis_server.command("HGET", beats, "another") is not None


# -- several servers -------------------------------------------------------------------------------


@pytest.mark.thorough
def test_sentinels_and_their_servers_need_what_is_listed() -> None:
    with RedisSentinel() as servers:
        for server in servers.servers:
            set_user(server, [*USER, *also("Sentinels")])
        for sentinel in servers.sentinels:
            set_user(sentinel, SENTINEL_USER)
        joint = "&" if "?" in servers.url else "?"
        url = f"{with_user(servers.url)}{joint}sentinel_username=shop&sentinel_password=pw"
        with watched([servers.master]) as sent, caches_over(url) as caches:
            live_once(caches)
        assert never_sent([*COMMANDS, *(each[1:] for each in also("Sentinels"))], sent) == []
        for sentinel in servers.sentinels:
            refused = sentinel.command("ACL", "LOG")
            assert not refused, refused


@pytest.mark.thorough
def test_a_cluster_needs_what_is_listed() -> None:
    with RedisCluster() as cluster:
        for server in cluster.servers:
            set_user(server, [*USER, *also("a Cluster")])
        masters = cluster.servers[:3]
        with watched(masters) as sent, caches_over(with_user(cluster.url)) as caches:
            live_once(caches)
            _let_a_server_be_tried_again(caches.make(), cluster)
        assert never_sent([*COMMANDS, *(each[1:] for each in also("a Cluster"))], sent) == []


def _let_a_server_be_tried_again(cache: Cache, cluster: RedisCluster) -> None:
    """Open the breaker of a server that does not have the log: only a PING closes it."""
    nodes: Nodes = cache._core.redis.nodes  # type: ignore[union-attr]
    log = cluster.owner(NAME + b":log").port
    node = next(each for each in nodes.all_nodes() if not nodes.name_of(each).endswith(f":{log}"))
    node.breaker.trip()
    until(lambda: node.breaker.closed)
