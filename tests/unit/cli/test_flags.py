from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from cachemw import Cache
from cachemw.invalidation.log.follower import RedisLog
from cachemw.rollout.flags.live import write_document
from cachemw.testing import RedisServer
from tests.support.waiting import until

from .running import CONFIG, Run, Site, spawn

Write = Callable[[str], str]

NOBODY = {"a_module_that_is_not_here:who": lambda request: None}


def rows(output: str) -> dict[str, list[str]]:
    """Read the table: flag -> configured, live, local where there is a file for it, effective."""
    cells = [line.strip("│").split("│") for line in output.splitlines() if line.startswith("│")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}


def test_the_table_has_what_is_configured_set_live_and_in_effect(run: Run, fleet_file: str) -> None:
    assert rows(run("flags").stdout) == {
        "low": ["on", "-", "on"],
        "medium": ["on", "-", "on"],
        "high": ["on", "-", "on"],
        "route:products": ["on", "-", "on"],
        "route:orders": ["on", "-", "on"],
        "route:mine": ["on", "-", "on"],
        "holdout": ["0%", "-", "off"],
        "kill": ["off", "-", "off"],
        "level:low": ["info", "-", "info"],
        "level:medium": ["info", "-", "info"],
        "level:high": ["info", "-", "info"],
    }


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        (("low=off",), {"low": ["on", "off", "off"], "route:products": ["on", "-", "off"]}),
        (("route:orders=off",), {"route:orders": ["on", "off", "off"]}),
        (("low=off", "low=off", "high=on"), {"high": ["on", "on", "on"]}),
        (("low=canary 2.50%",), {"low": ["on", "canary 2.5%", "canary 2.5%"]}),
        (("holdout=2%",), {"holdout": ["0%", "2%", "2%"]}),
        (("holdout=2%", "low=off"), {"holdout": ["0%", "2%", "2%"], "low": ["on", "off", "off"]}),
        (("level:low=debug",), {"level:low": ["info", "debug", "debug"], "low": ["on", "-", "on"]}),
        (("kill=on",), {"kill": ["off", "on", "on"], "medium": ["on", "-", "off"]}),
    ],
    ids=" ".join,
)
def test_what_is_set_shows(
    run: Run, fleet_file: str, settings: tuple[str, ...], changed: dict[str, list[str]]
) -> None:
    shown = rows(run("flags", "set", *settings).stdout)
    assert changed.items() <= shown.items()
    assert rows(run("flags").stdout) == shown


def test_the_revision_is_told_that_the_processes_must_come_to(run: Run, site: Site) -> None:
    assert "Revision 0." in run("flags").stdout
    run("flags", "set", "low=off")
    assert "Revision 2." in run("flags", "set", "high=off").stdout
    until(lambda: site.cache.stats().gauges["flags_revision"] == 2)


@pytest.fixture
def flags_file(fleet_file: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a file of flags in the environment, as on one machine of a fleet."""
    path = Path(fleet_file).with_name("flags.toml")
    monkeypatch.setenv("CACHEMW_FLAGS_FILE", str(path))
    return path


def test_what_this_machines_file_says_has_a_column(run: Run, flags_file: Path) -> None:
    assert rows(run("flags").stdout)["low"] == ["on", "-", "-", "on"]
    flags_file.write_text(
        'low = "on"\n"route:orders" = "off"\nholdout = "0%"\n"level:low" = "debug"\n'
    )
    shown = rows(run("flags", "set", "low=off", "holdout=2%").stdout)
    assert shown["low"] == ["on", "off", "on", "on"]
    assert shown["route:orders"] == ["on", "-", "off", "off"]
    assert shown["holdout"] == ["0%", "2%", "0%", "off"]
    assert shown["level:low"] == ["info", "-", "debug", "debug"]
    flags_file.write_text('kill = "on"')
    shown = rows(run("flags").stdout)
    assert shown["kill"] == ["off", "-", "on", "on"]
    assert shown["medium"] == ["on", "-", "-", "off"]


def test_json_has_every_flag_and_the_revision(run: Run, fleet_file: str) -> None:
    found = json.loads(run("flags", "--json").stdout)
    assert found["flags"]["low"] == {
        "configured": "on",
        "live": None,
        "local": None,
        "effective": "on",
    }
    changed = json.loads(run("flags", "set", "low=off", "--json").stdout)
    assert changed["revision"] == found["revision"] + 1
    assert changed["flags"]["low"]["live"] == changed["flags"]["low"]["effective"] == "off"
    assert json.loads(run("flags", "--json").stdout) == changed


def test_a_running_process_takes_it_over_within_a_second(run: Run, site: Site) -> None:
    site.get("/products/1")
    assert site.cached("/products/1")
    run("flags", "set", "route:products=off")
    began = time.monotonic()
    until(lambda: not site.cached("/products/1"))
    assert time.monotonic() - began < 1
    run("flags", "set", "route:products=default")
    until(lambda: site.cached("/products/1"))
    run("flags", "set", "kill=on")
    until(lambda: site.cache.flags.killed)
    assert not site.cached("/products/1")


def test_what_a_process_set_is_kept(run: Run, site: Site) -> None:
    assert site.cache.flags.set(low="off")
    assert rows(run("flags", "set", "high=off").stdout)["low"] == ["on", "off", "off"]
    until(lambda: site.cache.flags.states()["high"] == "off")
    assert site.cache.flags.states()["low"] == "off"


def test_a_change_in_between_is_built_upon(fleet_file: str) -> None:
    """Fails when the flags are written without a look at what is there (WATCH)."""
    first, second = (Cache.from_file(fleet_file, identities=NOBODY) for _ in range(2))
    assert isinstance(first.log, RedisLog)
    seen: list[bytes | None] = []

    def change(stored: bytes | None) -> bytes:
        seen.append(stored)
        if len(seen) == 1:
            assert second.flags.set(high="off")
        return b"the next document"

    assert first.log.flags.exchange(change) == b"the next document"
    assert seen == [None, write_document(second.flags.published)]
    first.close()
    second.close()


def test_operators_at_once_all_get_what_they_asked_for(fleet_file: str) -> None:
    caches = [Cache.from_file(fleet_file, identities=NOBODY) for _ in range(4)]
    names = ["low", "medium", "high", "route:orders"]
    gate = threading.Barrier(len(names))

    def set_one(cache: Cache, name: str) -> None:
        gate.wait()
        assert cache.flags.set({name: "off"})

    threads = [
        threading.Thread(target=set_one, args=pair) for pair in zip(caches, names, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = max((cache.flags.live for cache in caches), key=lambda live: live.revision)
    assert last.revision == len(names)
    assert (sorted(last.classes), list(last.routes)) == (["high", "low", "medium"], ["orders"])
    for cache in caches:
        cache.close()


def test_what_redis_was_not_told_gives_way_to_the_next_news(
    run: Run, own_redis_server: RedisServer, write: Write
) -> None:
    """Fails when a flag set out of reach takes a revision that the fleet will give to another."""
    path = write(CONFIG.format(url=own_redis_server.url))
    cut_off = Cache.from_file(path, identities=NOBODY)
    own_redis_server.kill()
    assert not cut_off.flags.set(low="off")
    assert cut_off.flags.states()["low"] == "off"
    own_redis_server.start()
    run("flags", "set", "kill=on")
    cut_off.start()
    until(lambda: cut_off.flags.killed)
    cut_off.close()


def test_a_stored_document_that_cannot_be_read_is_replaced(
    run: Run, fleet_file: str, redis_url: str
) -> None:
    with Redis.from_url(redis_url) as client:
        client.set("cachemw:{cli}:flags", b"\xffrubbish")
    assert rows(run("flags", "set", "low=off").stdout)["low"] == ["on", "off", "off"]
    assert rows(run("flags").stdout)["low"] == ["on", "off", "off"]


def test_the_configuration_can_stand_before_or_behind_set(
    run: Run, fleet_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHEMW_CONFIG", "nowhere.toml")
    for arguments in (
        ("flags", "--config", fleet_file, "set", "low=off"),
        ("flags", "set", "--config", fleet_file, "low=off"),
    ):
        assert rows(run(*arguments).stdout)["low"] == ["on", "off", "off"]


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        (("low",), 2, "such as low=on"),
        (("low=on", "low=off"), 2, "low is given twice"),
        (("lwo=on",), 1, "'lwo' is not a flag"),
        (("products=off",), 2, "'products' is a route: write route:products=off"),
        (("route:nope=on",), 1, "'route:nope' is not a flag"),
        (("level:low=loud",), 1, "level:low: expected"),
        (("low=perhaps",), 1, 'low: expected "on", "off", "shadow" or a share'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_changes_nothing(
    run: Run, fleet_file: str, settings: tuple[str, ...], code: int, said: str
) -> None:
    assert said in run("flags", "set", "medium=off", *settings, code=code).stderr
    assert rows(run("flags").stdout)["medium"] == ["on", "-", "on"]


def test_out_of_reach_and_full_nothing_is_changed_and_that_is_said(
    run: Run, own_redis_server: RedisServer, write: Write
) -> None:
    write(CONFIG.format(url=own_redis_server.url))
    own_redis_server.fill()
    assert "no flag was changed" in run("flags", "set", "low=off", code=1).stderr
    own_redis_server.kill()
    assert "no flag was changed" in run("flags", "set", "low=off", code=1).stderr
    assert "not known" in run("flags", code=1).stderr


def test_memory_only_has_no_flags_that_can_be_reached(run: Run, write: Write) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    for arguments in (("flags",), ("flags", "set", "low=off")):
        assert "live flags of its own" in run(*arguments, code=1).stderr


def test_as_a_process(site: Site, fleet_file: str) -> None:
    assert rows(spawn("flags", "--config", fleet_file).stdout)["low"] == ["on", "-", "on"]
    spawn("flags", "set", "--config", fleet_file, "low=off")
    until(lambda: site.cache.flags.states()["low"] == "off")
