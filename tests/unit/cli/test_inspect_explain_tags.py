"""Commands that look at what the fleet has stored: nothing changes by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from cachemw.testing import RedisServer

from .running import CONFIG, Run, Site, spawn

Write = Callable[[str], str]


def words(value: object) -> str | None:
    """Name a test by the command line that it runs."""
    return " ".join(value) if isinstance(value, tuple) else None


def lines(output: str, word: str) -> list[list[str]]:
    """Give the cells of a table's rows that hold a word."""
    rows = [row for row in output.splitlines() if row.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows if word in row]


@pytest.fixture
def stocked(site: Site) -> Site:
    """Give a site with three products and an order in Redis, one product purged and one softly."""
    for target in ("/products/1", "/products/2", "/products/3", "/orders?customer=7"):
        site.get(target)
    site.cache.purge(tags=["product:1"])
    site.cache.purge(tags=["product:2"], soft=True)
    return site


# -- inspect ---------------------------------------------------------------------------------------


def test_by_route_it_says_how_much_there_is_and_what_it_is_worth(run: Run, stocked: Site) -> None:
    output = run("inspect").stdout
    head = [cell.strip() for cell in output.splitlines()[1].strip("┃").split("┃")]
    assert head == ["route", "entries", "bytes", "oldest", "valid", "stale", "purged"]
    (products,) = lines(output, "products")
    assert products == ["products", "3", "24", products[3], "1", "1", "1"]
    assert products[3].endswith(" s")
    assert lines(output, "mine") == [["mine", "0", "0", "", "", "", ""]]
    assert lines(output, "all")[0][1] == "4"


def test_by_route_in_json(run: Run, stocked: Site) -> None:
    found = json.loads(run("inspect", "--json").stdout)
    routes = {each.pop("route"): each for each in found["routes"]}
    assert list(routes) == ["products", "orders", "mine"]
    assert 0 < routes["products"].pop("oldest") < 60
    counts = {"entries": 3, "bytes": 24, "valid": 1, "stale": 1, "purged": 1, "rejected": 0}
    assert routes["products"] == counts
    assert found["all"]["entries"] == 4


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("--tag", "product:3"), ["/products/3"]),
        (("--url", "/products/2?ignored=1"), ["/products/2"]),
        (("--url", "http://other.example/products/2"), []),
        (("--route", "orders"), ["/orders?customer=7"]),
        (("--tag", "product:1", "--route", "orders"), ["/orders?customer=7", "/products/1"]),
    ],
    ids=words,
)
def test_what_is_named_is_shown_entry_by_entry(
    run: Run, stocked: Site, options: tuple[str, ...], shown: list[str]
) -> None:
    found = json.loads(run("inspect", *options, "--json").stdout)
    urls = sorted(each["url"].removeprefix("http://shop.example") for each in found["entries"])
    assert urls == shown
    output = run("inspect", *options).stdout
    for url in shown:
        assert f" http://shop.example{url} " in output
    if not shown:
        assert output == "There are no entries.\n"


def test_an_entry_says_what_an_operator_asks(run: Run, stocked: Site) -> None:
    (row,) = lines(run("inspect", "--tag", "product:2").stdout, "product")
    url, route, status, size, age, ttl, verdict, tags = row
    assert (url, route, status) == ("http://shop.example/products/2", "products", "200")
    assert (size, verdict, tags) == ("8", "stale", "product:2")
    assert age.endswith(" s")
    assert 3500 < int(ttl.removesuffix(" s")) <= 3600


def test_no_more_are_shown_than_asked_for(run: Run, stocked: Site) -> None:
    found = json.loads(run("inspect", "--entries", "--limit", "3", "--json").stdout)
    assert (len(found["entries"]), found["more"]) == (3, True)
    assert "more than these 3" in run("inspect", "--entries", "--limit", "3").stdout
    found = json.loads(run("inspect", "--entries", "--limit", "4", "--json").stdout)
    assert (len(found["entries"]), found["more"]) == (4, False)


def test_what_is_no_entry_is_told_by_its_name_and_the_reason(
    run: Run, site: Site, redis_url: str
) -> None:
    name = "cachemw:{cli:00}:e4"
    with Redis.from_url(redis_url) as client:
        client.set(name, "junk")
    (row,) = lines(run("inspect", "--entries").stdout, name)
    assert row == [name, "rejected: short"]
    assert lines(run("inspect").stdout, "no route")[0][:2] == ["(no route)", "1"]


# -- purge --dry-run -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said", "tags"),
    [
        (("--tag", "product:2"), "1 entry in Redis, 8 bytes: products 1", ["product:2"]),
        (("--route", "products"), "2 entries in Redis, 16 bytes: products 2", ["@route:products"]),
        (("--everything",), "3 entries in Redis, 24 bytes: orders 1, products 2", None),
        (("--tag", "none"), "0 entries in Redis, 0 bytes", ["none"]),
    ],
    ids=words,
)
def test_a_dry_run_says_what_would_be_purged_and_purges_nothing(
    run: Run,
    stocked: Site,
    redis_url: str,
    options: tuple[str, ...],
    said: str,
    tags: list[str] | None,
) -> None:
    with Redis.from_url(redis_url) as client:
        before: Any = client.xlen("cachemw:{cli}:log")
        output = run("purge", *options, "--dry-run").stdout
        found = json.loads(run("purge", *options, "--dry-run", "--json").stdout)
        assert client.xlen("cachemw:{cli}:log") == before
    assert output.startswith(f"Would purge {said}.\n")
    assert output.endswith("Nothing was purged.\n")
    assert found["tags"] == tags
    assert f"{found['redis']['entries']} " in said
    for tag in tags or ():
        assert f"\n  {tag}\n" in output


# -- explain ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/products/3",), ["hit: fresh", "stored   200, 8 bytes", "route    products"]),
        (("/products/4",), ["miss: uri-miss (nothing is stored for this request)"]),
        (("/products/1",), ["miss: uri-miss", "unusable 200, 8 bytes", ": purged"]),
        (("/products/3", "-X", "POST"), ["pass: method"]),
        (("/products/3", "-H", "Cookie: sid=1"), ["pass: cookie"]),
        (("/products/3", "-H", "Range:bytes=0-1", "-H", "A: b"), ["hit: fresh"]),
        (("/nowhere",), ["pass: no-route (no route is listed for this path)"]),
        (("/mine",), ["pass: identity"]),
    ],
    ids=words,
)
def test_a_request_is_explained_by_what_the_fleet_has(
    run: Run, stocked: Site, arguments: tuple[str, ...], said: list[str]
) -> None:
    url, *options = arguments
    output = run("explain", f"http://shop.example{url}", *options).stdout
    for each in said:
        assert each in output


def test_a_request_is_explained_in_json(run: Run, stocked: Site) -> None:
    found = json.loads(run("explain", "http://shop.example/products/3", "--json").stdout)
    assert (found["outcome"], found["stored"]["status"], found["unusable"]) == ("hit", 200, None)
    found = json.loads(run("explain", "http://shop.example/products/1", "--json").stdout)
    assert (found["stored"], found["unusable"]["verdict"]) == (None, "purged")


def test_a_request_is_explained_by_the_live_flags(run: Run, stocked: Site) -> None:
    """Fails when the log is not joined: what is switched off live would be told as cached."""
    run("flags", "set", "route:products=off")
    assert "off: off" in run("explain", "http://shop.example/products/3").stdout


# -- tags ------------------------------------------------------------------------------------------


def test_tags_of_routes_and_of_what_is_stored(run: Run, stocked: Site) -> None:
    output = run("tags").stdout
    assert lines(output, "products") == [["products", "/products/{id:int}", "product:{id}"]]
    assert lines(output, "orders")[0][2] == "-"
    assert sorted(lines(output, "product:")[1:]) == [
        ["product:*", "2", "16"],
        ["product:2", "1", "8"],
        ["product:3", "1", "8"],
    ]
    found = json.loads(run("tags", "--json", "--top", "1").stdout)
    assert found["routes"][0]["tags"] == ["product:{id}"]
    assert found["tags"] == [{"tag": "product:*", "entries": 2, "bytes": 16}]


def test_the_configuration_alone_has_tags_too(run: Run, write: Write) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\ntags = ["a"]\n')
    result = run("tags")
    assert lines(result.stdout, "/a")[0][2] == "a"
    assert "has no `redis` setting" in result.stderr
    assert run("tags", "--top", "0").stderr == ""


# -- all of them -----------------------------------------------------------------------------------

LOOKS: list[tuple[str, ...]] = [
    ("inspect",),
    ("explain", "/products/1"),
    ("tags",),
    ("purge", "--tag", "a", "--dry-run"),
]


@pytest.mark.parametrize("command", LOOKS, ids=words)
def test_who_looks_leaves_everything_as_it_was(
    run: Run, stocked: Site, redis_url: str, command: tuple[str, ...]
) -> None:
    """Fails when the command's own process is a follower: purges would wait for it, and count it."""
    stocked.cache.close()  # else it is its own heartbeat that is seen
    with Redis.from_url(redis_url) as client:
        names = client.keys("cachemw:{cli*")
        before = {name: client.dump(name) for name in names}
        client.config_resetstat()
        run(*command)
        asked: Any = client.info("commandstats")
        assert {name: client.dump(name) for name in client.keys("cachemw:{cli*")} == before
    assert "cmdstat_xread" in asked
    assert {"cmdstat_hset", "cmdstat_xadd", "cmdstat_set", "cmdstat_keys"}.isdisjoint(asked)


@pytest.mark.parametrize("command", LOOKS, ids=words)
@pytest.mark.parametrize("illness", ["kill", "hang"])
def test_out_of_reach_that_is_said(
    run: Run,
    own_redis_server: RedisServer,
    write: Write,
    illness: str,
    command: tuple[str, ...],
) -> None:
    write(CONFIG.format(url=own_redis_server.url.replace("://", "://:hidden@")))
    getattr(own_redis_server, illness)()
    result = run(*command, code=1)
    assert "is not known" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "hidden" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", [LOOKS[0], LOOKS[1], LOOKS[3]], ids=words)
def test_memory_only_says_what_to_do_instead(
    run: Run, write: Write, command: tuple[str, ...]
) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    result = run(*command, code=1)
    assert "the memory of each process" in result.stderr
    assert "in the application" in result.stderr


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("inspect", "--route", "nope"), 1, "no route is named 'nope'"),
        (("inspect", "--tag", "@route:orders"), 1, "cachemw's own"),
        (("inspect", "--url", "products/1"), 1, "a URL to purge is a path"),
        (("inspect", "--limit", "0"), 2, "--limit"),
        (("purge", "--dry-run"), 2, "name a --tag"),
        (("purge", "--dry-run", "--route", "nope"), 1, "no route is named 'nope'"),
        (("explain", "products/1"), 1, "give a path"),
        (("explain", "/a", "-H", "no colon"), 2, "expected 'Name: value'"),
        (("tags", "--top", "-1"), 2, "--top"),
        (("tags", "--config", "nowhere.toml"), 1, "nowhere.toml: cannot be read"),
    ],
    ids=words,
)
def test_a_mistake_is_one_message(
    run: Run, fleet_file: str, command: tuple[str, ...], code: int, said: str
) -> None:
    assert said in run(*command, code=code).stderr


def test_as_a_process(site: Site, fleet_file: str) -> None:
    site.get("/products/1")
    done = spawn("inspect", "--config", fleet_file, "--tag", "product:1", "--json")
    assert json.loads(done.stdout)["entries"][0]["url"] == "http://shop.example/products/1"
