from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from redis import Redis

from cachemw.cli.common.printing import PrintableConsole
from cachemw.cli.stats import _learned, _make_report, _shorten
from cachemw.config import config_from, load_config
from cachemw.telemetry import Counters, Gauges, Outcome, fleet
from cachemw.telemetry.stats import Stats
from cachemw.testing import RedisServer
from tests.support.waiting import until

from .running import CONFIG, Run, Site, spawn

Write = Callable[[str], str]


def reported(site: Site, requests: int) -> None:
    """Wait until the site has told the fleet of so many requests."""
    assert site.cache.config.redis is not None
    url = site.cache.config.redis.url
    until(lambda: fleet.read(url, "cli").stats.total == requests)


def asked(site: Site) -> None:
    """Ask for four answers: two made, two hits."""
    for target in ("/products/1", "/products/1", "/products/1", "/orders"):
        site.get(target)
    reported(site, 4)


def test_the_table_is_by_route_outcome_and_tier(run: Run, site: Site) -> None:
    asked(site)
    output = run("stats").stdout
    assert output.startswith("Namespace cli: 1 process in the last ten seconds.")
    lines = [line for line in output.splitlines() if line.startswith(("┃", "│"))]
    cells = [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines
    ]
    table = {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[1:]}
    assert list(table) == ["orders", "products", "all"]
    assert table["products"]["hit rate"] == "66.7%"
    found = {name: table["all"][name] for name in ("requests", "hit", "miss", "memory", "origin")}
    assert found == {"requests": "4", "hit": "2", "miss": "2", "memory": "2", "origin": "2"}
    assert table["all"]["saved"] == "2"
    assert "stored=2" in output
    assert "log_connected=1  log_partition_limit=30 s" in output
    assert "memory_entries=2 entries" in output
    assert "memory_max=256 MiB" in output
    assert "queue=0 purges" in output


def test_json_has_the_sum_and_every_process(run: Run, site: Site) -> None:
    asked(site)
    found = json.loads(run("stats", "--json").stdout)
    assert found["stats"]["summary"]["by_tier"] == {"memory": 2, "origin": 2}
    assert [each["live"] for each in found["processes"]] == [True]
    assert found["unreadable"] == 0


def test_a_fleet_of_nobody_is_said_to_be(run: Run, fleet_file: str) -> None:
    assert "0 processes" in run("stats").stdout


def test_out_of_reach_is_one_message(run: Run, own_redis_server: RedisServer, write: Write) -> None:
    write(CONFIG.format(url=own_redis_server.url))
    own_redis_server.kill()
    result = run("stats", code=1)
    assert "cannot be reached" in result.stderr
    assert result.stderr.count("\n") == 1


def test_memory_only_has_no_fleet(run: Run, write: Write) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    assert "cache.stats()" in run("stats", code=1).stderr


def test_as_a_process(site: Site, fleet_file: str) -> None:
    asked(site)
    assert "66.7%" in spawn("stats", "--config", fleet_file).stdout


def test_watching_looks_again_waits_for_redis_and_ends_well(
    own_redis_server: RedisServer, write: Write
) -> None:
    path = write(CONFIG.format(url=own_redis_server.url))
    command = [sys.executable, "-m", "cachemw", "stats", "--config", path, "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "stats" in json.loads(watching.stdout.readline())
        own_redis_server.kill()
        assert "cannot be reached" in json.loads(watching.stdout.readline())["error"]
        own_redis_server.start()
        assert "stats" in json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 0
        assert watching.stderr.read() == b""


@pytest.mark.parametrize(("columns", "tables"), [(200, 1), (80, 3)], ids=["wide", "narrow"])
def test_watching_on_a_terminal_draws_until_it_is_interrupted(
    site: Site, columns: int, tables: int
) -> None:
    asked(site)
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "cachemw", "stats", "--watch"]
    own = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env=own) as watching:
        os.close(terminal)
        shown = b""
        while b"log_connected=1" not in shown:
            shown += os.read(screen, 65536)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 0
        assert watching.stderr is not None
        assert watching.stderr.read() == b""
    os.close(screen)
    assert b"66.7%" in shown
    assert shown.partition(b"log_connected=1")[0].count("┏".encode()) == tables


def test_a_route_that_would_be_wrong_in_shadow_is_named(run: Run, site: Site) -> None:
    site.cache.flags.set({"route:products": "shadow"})
    for _ in range(3):
        site.get("/products/1")
    wanted = "products would have given 2 wrong answers in 2: body, 8 -> 8 bytes (2)."
    until(lambda: wanted in words(run("stats").stdout))
    would = "In shadow, route products would have answered 2 of 3 requests (67%) and saved"
    assert would in words(run("stats").stdout)


def words(output: str) -> str:
    """Give the words of an output, which is wrapped to the width of the terminal."""
    return " ".join(output.split())


def differing(*places: str) -> Stats:
    counted = {place: 9 - index for index, place in enumerate(places)}
    return Stats(
        processes=1,
        requests={"products": {"shadow_mismatch": 9, "shadow_hit": 1}},
        differences={"products": counted},
    )


@pytest.mark.parametrize(
    ("stats", "told"),
    [
        (differing(), "9 wrong answers in 10."),
        (differing("$.a", "$.b"), "9 wrong answers in 10: $.a (9), $.b (8)."),
        (
            differing("$.a", "$.b", "$.c", "$.d", "$.e"),
            "9 wrong answers in 10: $.a (9), $.b (8), $.c (7), and 2 more places.",
        ),
    ],
)
def test_of_many_places_a_few_are_told(run: Run, fleet_file: str, stats: Stats, told: str) -> None:
    publish_one(fleet_file, stats)
    assert told in words(run("stats").stdout)


def test_what_a_route_in_shadow_would_do_to_cookies_is_told(run: Run, fleet_file: str) -> None:
    forecast = {
        "requests": 100,
        "default_requests": 100,
        "hits": 20,
        "default_hits": 60,
        "replaced": 72,
    }
    stats = Stats(
        processes=1,
        forecasts={"products": forecast},
        differences={"products": {"cookie sessionid": 72}},
    )
    publish_one(fleet_file, stats)
    told = words(run("stats").stdout)
    assert "answered 60 of 100 requests (60%); as it is configured, 20 (20%)." in told
    assert "replace its clients' cookies in 72 of 100 answers: sessionid (72)." in told


def test_why_answers_are_not_stored_is_told_by_route(run: Run, fleet_file: str) -> None:
    refused = {"products": {"private": 3, "set-cookie": 25}, "mine": {"no-store": 1}}
    publish_one(fleet_file, Stats(processes=1, refused=refused))
    lines = run("stats").stdout.splitlines()
    told = [line.strip() for line in lines if line.startswith("not stored")]
    assert told == [
        "not stored: mine: no-store 1",
        "not stored: products: set-cookie 25, private 3",
    ]
    assert json.loads(run("stats", "--json").stdout)["stats"]["refused"] == refused


def test_where_nothing_was_refused_nothing_is_said_of_it(run: Run, site: Site) -> None:
    asked(site)
    assert "not stored" not in run("stats").stdout


def publish_one(fleet_file: str, stats: Stats) -> None:
    """Report one process's statistics to the fleet of the file."""
    config = load_config(fleet_file)
    assert config.redis is not None
    with Redis.from_url(config.redis.url) as client:
        fleet.publish(client, config.namespace, "one", "api", stats.encode())


def test_large_counts_fit_80_columns() -> None:
    counters = Counters(["products", "a_route_with_a_rather_long_name"])
    for outcome in Outcome:
        for route in (0, 1):
            counters.record(route, outcome, 0.123)
    total = counters.snapshot(Gauges(memory_bytes=lambda: 1_234_567))
    for _ in range(24):
        total = total.merge(total)
    process = fleet.ProcessStats(id="a", age=0.1, live=True, component="api", stats=total)
    found = fleet.FleetStats(stats=total, processes=(process,))
    console = PrintableConsole(width=80, file=io.StringIO())
    console.print(_make_report(config_from({}), found, 80))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    heads = [line for line in lines if line.startswith("┃")]
    names = [name.strip() for line in heads for name in line.strip("┃").split("┃")]
    assert {"requests", "hit rate", "refresh", "control", "saved"} <= set(names)
    assert len(heads) == 3, "no head is folded"
    (row,) = (line for line in lines if line.startswith("│ all") and "%" in line)
    assert "M" in row


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0"),
        (99_999, "99999"),
        (100_000, "100k"),
        (999_499, "999k"),
        (999_999, "999k"),
        (1_234_567, "1.23M"),
        (12_345_678_901, "12.3G"),
        (10**15, "1000T"),
    ],
)
def test_a_large_count_is_shortened(count: int, shown: str) -> None:
    assert _shorten(count) == shown


def test_what_is_learned_is_told_for_each_kind() -> None:
    known = {"lifetime": 12.5, "stale": 0.015, "reached": 0.9, "announced": 0.5, "saved": 0.4}
    config = config_from(
        {
            "kinds": {"product": {"ttl": {"min": "1s", "max": "1h"}}},
            "routes": [{"path": "/p", "kind": "product"}, {"path": "/q", "ttl": "1s"}],
        }
    )
    total = Stats(learned={"product": known, "route:new": {"refreshes": 0.0}})
    assert _learned(total, config) == [
        "learned: product: lifetimes about 12.5 s, 1.5% of answers stale (target 2.0%),"
        " the target is out of reach for 10% of answers, 50% of changes announced by purges,"
        " calls -40% beside the initial lifetime",
        "learned: route:new: nothing yet",
    ]


def test_of_two_processes_the_one_that_has_seen_more_speaks() -> None:
    some = Stats(
        learned={"product": {"refreshes": 5.0, "lifetime": 1.0}, "page": {"refreshes": 1.0}}
    )
    more = Stats(learned={"product": {"refreshes": 7.0, "lifetime": 2.0}})
    merged = {"product": {"refreshes": 7.0, "lifetime": 2.0}, "page": {"refreshes": 1.0}}
    assert some.merge(more).learned == more.merge(some).learned == merged
