from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from redis import Redis

from cachemw import Cache
from cachemw.testing import RedisServer

from .running import CONFIG, Run, Site, spawn

Write = Callable[[str], str]

PRODUCTS = ("/products/1", "/products/2", "/orders?customer=7")


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (("--tag", "product:1"), ("/products/1",)),
        (("--tag", "product:1", "--tag", "product:2"), ("/products/1", "/products/2")),
        (("--url", "/products/2?ignored=1"), ("/products/2",)),
        (("--url", "http://shop.example/orders?customer=7"), ("/orders?customer=7",)),
        (("--url", "http://other.example/products/1"), ()),
        (("--route", "products"), ("/products/1", "/products/2")),
        (("--route", "orders", "--tag", "product:2"), ("/products/2", "/orders?customer=7")),
        (("--everything",), PRODUCTS),
    ],
    ids=" ".join,
)
def test_what_is_named_is_gone_from_a_running_process(
    run: Run, site: Site, options: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    for target in PRODUCTS:
        site.get(target)
        assert site.cached(target)
    first, second = run("purge", *options).stdout.splitlines()
    assert first == "Purged. Confirmed by 1 process."
    entries = "1 entry" if len(gone) == 1 else f"{len(gone)} entries"
    assert second.startswith(f"It touched {entries} in Redis, {len('answer 1') * len(gone)} bytes")
    assert tuple(target for target in PRODUCTS if not site.cached(target)) == gone


def test_softly_purged_answers_stand_in_for_a_failure(run: Run, site: Site) -> None:
    before = site.get("/orders")
    assert run("purge", "--route", "orders", "--soft").stdout.startswith("Purged softly.")
    site.fails = True
    assert site.get("/orders") == before
    assert site.calls == 2


def test_json_gives_the_result(run: Run, site: Site) -> None:
    found = json.loads(run("purge", "--everything", "--json").stdout)
    assert found == {
        "status": "confirmed",
        "reached": 1,
        "waiting": 0,
        "everything": False,
        "redis": {"entries": 0, "size": 0, "routes": {}},
    }


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_url_on_no_route_is_named(run: Run, fleet_file: str, options: tuple[str, ...]) -> None:
    urls = ("--url", "/nowhere", "--url", "/products/1", "--url", "/mount/orders")
    said = run("purge", *urls, *options).stderr
    assert said == "warning: no route matches /nowhere: nothing is stored for it\n"


def test_without_a_running_process_it_is_confirmed_too(run: Run, fleet_file: str) -> None:
    assert "no process is running" in run("purge", "--tag", "a").stdout


def test_a_process_that_was_killed_is_not_waited_for(
    run: Run, fleet_file: str, redis_url: str
) -> None:
    """Fails when a process that only purges judges heartbeats without the server's clock."""
    with Redis.from_url(redis_url) as client:
        long_ago = client.time()[0] - 60
        client.hset("cachemw:{cli}:followers", "killed", f"0-0 {long_ago}.000")
    assert "no process is running" in run("purge", "--tag", "a").stdout


def test_a_process_that_does_not_answer_is_told_of(run: Run, redis_url: str, write: Write) -> None:
    write(CONFIG.format(url=redis_url).replace('confirm_wait = "5s"', 'confirm_wait = "20ms"'))
    with Redis.from_url(redis_url) as client:
        client.hset("cachemw:{cli}:followers", "slow", f"0-0 {client.time()[0] + 60}.000")
    assert "1 process had not answered yet" in run("purge", "--tag", "a").stdout


def test_a_full_server_is_purged_of_everything(
    run: Run, own_redis_server: RedisServer, write: Write
) -> None:
    write(CONFIG.format(url=own_redis_server.url))
    own_redis_server.command("SET", "cachemw:{cli}:epoch", "12345678")
    own_redis_server.fill()
    assert "everything was purged" in run("purge", "--tag", "a").stdout
    assert own_redis_server.command("EXISTS", "cachemw:{cli}:epoch") == 0


@pytest.mark.parametrize("illness", ["kill", "hang"])
def test_out_of_reach_nothing_is_purged_and_that_is_said(
    run: Run, own_redis_server: RedisServer, write: Write, illness: str
) -> None:
    """Fails when a purge is queued in a process that ends: the log would get it, or nobody."""
    url = own_redis_server.url.replace("://", "://:hidden@")
    write(CONFIG.format(url=url))
    getattr(own_redis_server, illness)()
    result = run("purge", "--tag", "a", code=1)
    assert "nothing was purged" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "hidden" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "name a --tag"),
        (("--everything", "--tag", "a"), 2, "--everything takes no"),
        (("--route", "nope"), 1, "no route is named 'nope'"),
        (("--tag", "@route:orders"), 1, "cachemw's own"),
        (("--url", "products/1"), 1, "a URL to purge is a path"),
        (("--config", "nowhere.toml", "--tag", "a"), 1, "nowhere.toml: cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_message(
    run: Run, fleet_file: str, options: tuple[str, ...], code: int, said: str
) -> None:
    assert said in run("purge", *options, code=code).stderr


def test_memory_only_cannot_be_purged_from_here(run: Run, write: Write) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    assert "the memory of each process" in run("purge", "--everything", code=1).stderr


def test_as_a_process(site: Site, fleet_file: str) -> None:
    site.get("/products/1")
    done = spawn("purge", "--config", fleet_file, "--tag", "product:1")
    assert done.stdout.startswith("Purged. Confirmed by 1 process.\n")
    assert not site.cached("/products/1")


def test_the_configuration_of_a_cache_is_left_as_it_is(run: Run, site: Site) -> None:
    """A command waits for Redis as a person does; a serving process must not."""
    run("purge", "--everything")
    assert isinstance(site.cache, Cache)
    assert site.cache.config.redis is not None
    assert site.cache.config.redis.deadline == 1
