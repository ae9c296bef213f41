"""What somebody else has written into Redis reaches no terminal as it is, whichever command shows it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from redis import Redis

from cachemw.cli.group import group
from cachemw.config import load_config
from cachemw.telemetry import fleet
from cachemw.telemetry.stats import Stats
from tests.support.entries import make_entry

from .running import Run, Site

EVIL = "evil\x1b]0;x\x07\x1b[2J\x9b31m\x7f\r\nroute: fine\u202e\u2066\u200b\u2028"
FORGED = "\nroute: fine"

COMMANDS = [
    ("check",),
    ("check", "--json"),
    ("check", EVIL.replace("\n", "")),
    ("explain", "/products/1"),
    ("explain", "/products/1", "--json"),
    ("explain", f"http://shop.example/products/1?{EVIL}"),
    ("inspect",),
    ("inspect", "--entries"),
    ("inspect", "--entries", "--json"),
    ("inspect", "--route", EVIL),
    ("inspect", "--tag", EVIL),
    ("tags",),
    ("tags", "--json"),
    ("stats",),
    ("stats", "--json"),
    ("flags", "show"),
    ("flags", "set", f"low={EVIL}"),
    ("flags", "set", f"{EVIL}=on"),
    ("purge", "--tag", EVIL, "--dry-run"),
    ("purge", "--tag", EVIL),
    ("purge", "--url", EVIL),
    ("purge", "--route", EVIL),
    ("purge", "--everything", "--dry-run"),
    ("purge", "--everything", "--dry-run", "--json"),
    ("rollout", "plan"),
    ("rollout", "start", "--by", EVIL, "--reason", EVIL),
    ("rollout", "pause", "--by", EVIL, "--reason", EVIL),
    ("rollout", "status"),
    ("rollout", "status", "--json"),
    ("rollout", "history"),
    ("rollout", "history", "--json"),
    ("rollout", "resume", "--by", EVIL),
    ("rollout", "promote", "--by", EVIL),
    ("rollout", "approve", "--by", EVIL),
    ("rollout", "rollback", "--by", EVIL, "--reason", EVIL),
    ("controller", "--once"),
    (EVIL,),
    ("purge", f"--{EVIL}"),
]


def names(command: click.Command, *before: str) -> set[tuple[str, ...]]:
    """Return the names of all commands below one."""
    if not isinstance(command, click.Group):
        return {before}
    return {
        name for each, below in command.commands.items() for name in names(below, *before, each)
    }


def test_every_command_is_walked() -> None:
    """So that a new one cannot be forgotten; the demo talks to nobody's Redis but its own."""
    known = names(group)
    assert known == {
        line[: len(name)] for line in COMMANDS for name in known if line[: len(name)] == name
    }


@pytest.fixture
def evil(site: Site, fleet_file: str) -> Site:
    """Give a site whose Redis holds hostile keys, tags, routes, statistics and flags."""
    site.get("/products/1")
    core = site.cache._core
    for number, path in enumerate((b"/products/7", EVIL.encode())):
        key = core.engine.keys.make((b"http", EVIL.encode(), b"", path, path, EVIL.encode()))
        now = core.clock.monotonic()
        entry = make_entry(
            key=key.digest,
            route=EVIL,
            tags=(EVIL, f"product:{number}"),
            vary=((EVIL.encode(), EVIL.encode()),),
            headers=((b"x-evil", b"\x1b[2J"),),
            born=now,
            fresh_until=now + 3600,
            position=core.engine.floors.current_position(),
        )
        assert core.effects.shared is not None
        core.effects.shared.put(key, entry)
    counts = {EVIL: {EVIL: 1}}
    stats = Stats(
        requests={EVIL: {EVIL: 1, "hit_memory": 2, "shadow_mismatch": 1}},
        events=counts,
        refused=counts,
        differences=counts,
        gauges={EVIL: 1.0},
    )
    config = load_config(fleet_file)
    assert config.redis is not None
    with Redis.from_url(config.redis.url) as client:
        client.set(f"cachemw:{{cli:{EVIL}}}:e4", b"x" * 100)
        fleet.publish(client, "cli", EVIL, EVIL, stats.encode())
        flags = {"revision": 1, "classes": {"low": "on"}, "routes": {EVIL: "off"}}
        client.set("cachemw:{cli}:flags", json.dumps(flags))
    return site


def unprintable(text: str) -> str:
    """Return the characters that must not reach a terminal."""
    return "".join(each for each in text if not each.isprintable() and each != "\n")


@pytest.mark.parametrize(
    "colour", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["plain", "colour"]
)
def test_nothing_from_outside_is_printed_raw(evil: Site, colour: bool) -> None:
    shown = ""
    for arguments in COMMANDS:
        if colour and arguments[0] in ("controller", "purge"):
            continue
        result = CliRunner().invoke(group, arguments, prog_name="cachemw", color=colour)
        assert result.exception is None or isinstance(result.exception, SystemExit), arguments
        assert not unprintable(result.output), (arguments, result.output)
        assert FORGED not in result.output, arguments
        shown += result.output
    for part in ("\\x1b]0;x\\x07", "\\x9b31m\\x7f\\r\\nroute: fine\\u202e\\u2066\\u200b\\u2028"):
        assert part in shown


def test_a_hostile_state_of_the_rollout_is_shown_escaped(
    run: Run, evil: Site, redis_url: str
) -> None:
    run("rollout", "start")
    with Redis.from_url(redis_url) as client:
        found = client.get("cachemw:{cli}:rollout")
        assert isinstance(found, bytes)
        state = msgspec.json.decode(found)
        for name in ("reason", "refused", "wrong"):
            state[name] = EVIL if name == "reason" else [EVIL]
        client.set("cachemw:{cli}:rollout", msgspec.json.encode(state))
    output = run("rollout", "status").output
    assert not unprintable(output)
    assert FORGED not in output
    assert output.count("\\x1b]0;x\\x07") == 2


def test_hostile_texts_of_a_configuration_are_shown_escaped(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cachemw.toml"
    evil = json.dumps(EVIL)
    path.write_text(f"namespace = {evil}\n[[routes]]\npath = '/p'\nttl = '60s'\n{evil} = 1\n")
    output = run("check", code=1).output
    assert not unprintable(output)
    assert output.count("\n") == 2
