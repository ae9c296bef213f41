from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from cachemw import Cache
from cachemw.config.rollout_plan import load_plan, plan_from
from cachemw.rollout.plan_file import default_plan
from cachemw.testing import RedisServer
from tests.support.waiting import until

from .running import CONFIG, Run, Site, spawn

Write = Callable[[str], str]

PLAN = """
holdout = "0.01%"
warm_up = 0

[[phases]]
name = "first"
risks = ["low"]
duration = "2h"
steps = ["shadow", "on"]
watch = ["errors"]
log_level = "debug"

[[phases]]
name = "rest"
risks = ["high"]
duration = "2h"
steps = ["canary 10%", "on"]
watch = ["errors"]
approve = true
"""
RUNNING = (
    "Rollout running: phase 'first' (1 of 2), step {step} ({number} of 2).\n"
    "Watched for 00:00:00 of {time}.\n"
)


@pytest.fixture
def plan_file(tmp_path: Path) -> str:
    path = tmp_path / "rollout.toml"
    path.write_text(PLAN)
    return str(path)


@pytest.fixture
def begun(run: Run, fleet_file: str, plan_file: str) -> None:
    """Begin a rollout of a fleet in which no process is there, so that nothing else moves it."""
    run("rollout", "start", "--plan", plan_file, "--by", "ada")


@pytest.fixture
def watched(run: Run, site: Site, plan_file: str) -> Site:
    """Begin a rollout of a fleet of one site; gives the site, when it knows."""
    run("rollout", "start", "--plan", plan_file)
    until(lambda: site.cache.flags.states()["low"] == "shadow")
    return site


def status(run: Run) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("rollout", "status", "--json").stdout)
    return document


def history(run: Run) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(run("rollout", "history", "--json").stdout)
    return records


# -- plan ---------------------------------------------------------------------------------------------


def test_the_plan_that_is_printed_is_the_one_that_suits_the_configuration(
    run: Run, fleet_file: str, site: Site
) -> None:
    text = run("rollout", "plan").stdout
    assert plan_from(tomllib.loads(text)) == plan_from(default_plan(site.cache.config))
    assert "  # Lets in: products\n" in text
    assert "# Memory is not watched" in text


def test_the_plan_goes_to_a_file_and_a_rollout_can_begin_with_it(
    run: Run, fleet_file: str, tmp_path: Path
) -> None:
    path = tmp_path / "my rollout.toml"
    assert run("rollout", "plan", "--out", str(path)).output == ""
    assert path.read_text() == run("rollout", "plan").stdout
    assert [phase.name for phase in load_plan(path).phases] == ["low", "all"]
    run("rollout", "start", "--plan", str(path))
    assert status(run)["phase_name"] == "low"


def test_a_plan_that_is_there_is_not_written_over(run: Run, fleet_file: str) -> None:
    path = Path("rollout.toml")
    path.write_text("mine")
    said = run("rollout", "plan", "--out", "rollout.toml", code=1).stderr
    assert said == "Error: rollout.toml exists already: nothing was written\n"
    assert path.read_text() == "mine"


def test_a_place_that_cannot_be_written_to_is_said(run: Run, fleet_file: str) -> None:
    said = run("rollout", "plan", "--out", "nowhere/rollout.toml", code=1).stderr
    assert said == "Error: nowhere/rollout.toml cannot be written: No such file or directory\n"


def test_a_plan_needs_no_redis_and_a_route(run: Run, write: Write) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    assert "[[phases]]" in run("rollout", "plan").stdout
    write("")
    for command in ("plan", "start"):
        assert "there is nothing to roll out" in run("rollout", command, code=1).stderr


# -- moving -------------------------------------------------------------------------------------------


def test_it_goes_the_whole_way_by_hand(run: Run, fleet_file: str, plan_file: str) -> None:
    said = run("rollout", "start", "--plan", plan_file, "--by", "ada", "--reason", "deploy 118")
    assert said.stdout == RUNNING.format(step="'shadow'", number=1, time="01:00:00")
    assert run("rollout", "status").stdout == said.stdout
    said = run("rollout", "promote", "--by", "bob", "--reason", "late")
    assert said.stdout == RUNNING.format(step="'on'", number=2, time="02:00:00")
    said = run("rollout", "promote")
    assert said.stdout.startswith("Rollout waiting: phase 'first' (1 of 2), step 'on' (2 of 2).\n")
    assert "Phase 'rest' begins when somebody approves.\n" in said.stdout
    said = run("rollout", "pause", "--reason", "the board is at lunch")
    assert said.stdout.startswith("Rollout paused: ")
    assert "The board is at lunch.\n" in said.stdout
    run("rollout", "resume")
    run("rollout", "promote")
    said = run("rollout", "approve", "--by", "the board")
    assert "Rollout running: phase 'rest' (2 of 2), step 'canary 10%' (1 of 2).\n" in said.stdout
    run("rollout", "promote")
    said = run("rollout", "promote")
    assert said.stdout == "Rollout complete: phase 'rest' (2 of 2), step 'on' (2 of 2).\n"
    assert [(each["action"], each["by"], each["reason"]) for each in history(run)][:3] == [
        ("start", "ada", "deploy 118"),
        ("promote: step", "bob", "late"),
        ("promote: wait", history(run)[2]["by"], "phase 'rest' begins when somebody approves"),
    ]
    assert status(run)["status"] == "complete"


def test_who_it_was_is_the_user_unless_said(
    run: Run, fleet_file: str, plan_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LOGNAME", "grace")
    run("rollout", "start", "--plan", plan_file)
    assert [each["by"] for each in history(run)] == ["grace"]


def test_a_rollback_takes_back_the_phase_or_everything(run: Run, begun: None) -> None:
    run("rollout", "promote")
    run("rollout", "promote")
    run("rollout", "approve")
    said = run("rollout", "rollback", "--phase", "current", "--reason", "too slow")
    assert said.stdout == (
        "Rollout rolled back: phase 'rest' (2 of 2).\nTurned off: high.\nToo slow.\n"
    )
    assert status(run)["rolled_back"] == ["high"]
    run("rollout", "resume")
    assert status(run)["phase_name"] == "rest"
    run("rollout", "rollback")
    assert status(run)["rolled_back"] == ["high"]
    run("rollout", "rollback", "--all")
    assert status(run)["rolled_back"] == ["low", "high"]
    run("rollout", "resume")
    assert (status(run)["phase_name"], status(run)["flag"]) == ("first", "shadow")
    assert [each["action"] for each in history(run)][-5:] == [
        "roll back",
        "resume",
        "roll back",
        "roll back everything",
        "resume",
    ]


@pytest.mark.parametrize("option", ["--all", "--complete"])
def test_a_complete_rollback_takes_back_every_phase_and_ends_the_holdout(
    run: Run, watched: Site, option: str
) -> None:
    states = watched.cache.flags.states
    assert states()["holdout"] == "0.01%"
    for command in ("promote", "promote", "approve"):
        run("rollout", command)
    run("rollout", "rollback")
    until(lambda: states()["high"] == "off")
    assert (states()["low"], states()["holdout"]) == ("on", "0.01%")
    run("rollout", "rollback", option)
    until(lambda: states()["low"] == "off")
    assert (states()["high"], states()["holdout"]) == ("off", "off")
    assert history(run)[-1]["action"] == "roll back everything"


def test_without_a_plan_it_is_the_default_one_and_its_warnings_are_said(
    run: Run, fleet_file: str, write: Write
) -> None:
    with Path(fleet_file).open("a") as file:
        file.write('[[routes]]\nname = "alive"\npath = "/healthz"\nttl = "5s"\nrisk = "low"\n')
    result = run("rollout", "start")
    assert result.stderr.startswith("warning: route 'alive' (/healthz) looks like a health check")
    assert result.stdout.startswith("Rollout running: phase 'low' (1 of 2), step 'shadow'")
    assert "warning: route 'alive'" in history(run)[0]["reason"]


# -- looking ------------------------------------------------------------------------------------------


def test_before_the_first_rollout_there_is_none(run: Run, fleet_file: str) -> None:
    assert run("rollout", "status").stdout == "There is no rollout.\n"
    assert run("rollout", "status", "--json").stdout == "null\n"
    assert run("rollout", "history", "--json").stdout == "[]\n"
    assert "at" in run("rollout", "history").stdout


def test_the_status_as_json_has_the_state_and_where_that_is(run: Run, begun: None) -> None:
    document = status(run)
    assert document["status"] == "running"
    assert (document["phase"], document["phase_name"]) == (0, "first")
    assert (document["step"], document["flag"], document["of"]) == (0, "shadow", 3600)
    assert document["plan"] == tomllib.loads(PLAN)


def test_the_history_is_a_table_with_the_oldest_first(run: Run, begun: None) -> None:
    run("rollout", "pause", "--by", "bob", "--reason", "a [bold] move")
    table = run("rollout", "history").stdout
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in table.splitlines()
        if line.startswith("│")
    ]
    assert [row[1:] for row in rows] == [
        ["ada", "start", "first", "shadow", ""],
        ["bob", "pause", "first", "shadow", "a [bold] move"],
    ]
    assert rows[0][0].endswith("Z")
    last = json.loads(run("rollout", "history", "--json", "--count", "1").stdout)
    assert [each["action"] for each in last] == ["pause"]
    assert abs(last[0]["at"] - time.time()) < 60
    run("rollout", "history", "--count", "0", code=2)


def test_what_the_guardrails_said_last_is_shown(run: Run, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "quick.toml"
    path.write_text(PLAN.replace('watch = ["errors"]', 'watch = ["errors"]\ninterval = "50ms"'))
    run("rollout", "start", "--plan", str(path))
    run("rollout", "promote")
    until(lambda: bool(status(run)["judged"]))
    shown = run("rollout", "status").stdout
    assert "guardrail" in shown
    verdicts = {}
    for line in shown.splitlines():
        if line.startswith("│"):
            _, name, verdict, _ = (cell.strip() for cell in line.strip("│").split("│"))
            verdicts[name] = verdict
    assert verdicts["errors"] == verdicts["holdout"] == "inconclusive"
    assert verdicts["hits"] == "inconclusive (reported)"  # the phase does not watch it
    (errors,) = [each for each in status(run)["judged"]["phase"] if each["guardrail"] == "errors"]
    assert errors["verdict"] == "inconclusive"


# -- what it does to the fleet --------------------------------------------------------------------------


def test_another_process_has_the_flags_within_a_second(run: Run, watched: Site) -> None:
    states = watched.cache.flags.states
    assert (states()["low"], states()["medium"], states()["high"]) == ("shadow", "on", "off")
    assert states()["holdout"] == "0.01%"
    assert watched.cache.flags.levels["low"] == "debug"
    for arguments, low, high in (
        (("promote",), "on", "off"),
        (("promote",), "on", "off"),
        (("approve",), "on", "canary 10%"),
        (("rollback",), "on", "off"),
        (("resume",), "on", "canary 10%"),
        (("rollback", "--all"), "off", "off"),
    ):
        run("rollout", *arguments)
        began = time.monotonic()
        until(lambda low=low, high=high: (states()["low"], states()["high"]) == (low, high))  # type: ignore[misc]
        assert time.monotonic() - began < 1
    assert watched.cache.flags.levels["low"] == "info"


@pytest.mark.parametrize("options", [(), ("--all",)], ids=["phase", "all"])
def test_what_was_stored_does_not_come_back_after_a_rollback(
    run: Run, watched: Site, options: tuple[str, ...]
) -> None:
    """Fails when a rollback turns off and does not purge."""
    run("rollout", "promote")
    until(lambda: watched.cached("/products/1"))
    run("rollout", "rollback", *options)
    until(lambda: watched.cache.flags.states()["low"] == "off")
    run("flags", "set", "low=on", "holdout=0%")
    until(lambda: watched.cache.flags.states()["low"] == "on")
    assert not watched.cached("/products/1")
    assert watched.cached("/products/1")


def test_what_other_phases_stored_outlives_the_rollback_of_one(run: Run, watched: Site) -> None:
    for command in ("promote", "promote", "approve"):
        run("rollout", command)
    run("flags", "set", "holdout=0%")
    until(lambda: watched.cache.flags.states()["holdout"] == "off")
    until(lambda: watched.cached("/products/1"))
    run("rollout", "rollback")
    until(lambda: watched.cache.flags.states()["high"] == "off")
    assert watched.cached("/products/1")


def test_a_health_check_follows_by_itself(
    run: Run, watched: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachemw.rollout.controller._SETTLE", 0.5)
    monkeypatch.setattr("cachemw.rollout.controller._LONGEST_CHECK", 0.0)
    run("rollout", "rollback")
    until(lambda: history(run)[-1]["action"] == "health check", 20)
    last = history(run)[-1]
    assert last["reason"].startswith("inconclusive: errors: 0.00% of 0 answers failed")
    assert last["by"].startswith("controller ")
    assert last["numbers"]["flags"]["said"] == "1 of 1 processes have them"


# -- mistakes -----------------------------------------------------------------------------------------

MOVES = ("promote", "approve", "pause", "resume", "rollback")


@pytest.mark.parametrize("command", MOVES)
def test_where_there_is_no_rollout_nothing_can_be_moved(
    run: Run, fleet_file: str, command: str
) -> None:
    said = run("rollout", command, code=1)
    assert said.stderr == "Error: there is no rollout: start one\n"
    assert said.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start",), "a rollout is running already"),
        (("approve",), "no phase waits to be approved"),
        (("resume",), "there is nothing to resume"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_done_now_is_one_line_and_changes_nothing(
    run: Run, begun: None, arguments: tuple[str, ...], said: str
) -> None:
    before = status(run)
    error = run("rollout", *arguments, code=1).stderr.splitlines()[-1]
    assert said in error
    assert status(run) == before
    assert len(history(run)) == 1


def test_what_waits_is_not_promoted(run: Run, begun: None) -> None:
    run("rollout", "promote")
    run("rollout", "promote")
    said = run("rollout", "promote", code=1).stderr
    assert said == "Error: the rollout is waiting: there is nothing to promote\n"


def test_what_is_rolled_back_is_rolled_back_once(run: Run, begun: None) -> None:
    run("rollout", "rollback")
    assert "rolled back already" in run("rollout", "rollback", code=1).stderr


def test_the_phase_and_everything_exclude_each_other(run: Run, begun: None) -> None:
    said = run("rollout", "rollback", "--phase", "current", "--all", code=2).stderr
    assert "give --phase current or --all, not both" in said
    run("rollout", "rollback", "--phase", "first", code=2)
    assert status(run)["status"] == "running"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, ["plan.toml: cannot be read: No such file or directory"]),
        ("holdout = ", ["plan.toml: not valid TOML: Invalid value (at end of document)"]),
        ("", ["plan.toml: phases: expected at least one phase, got none: add [[phases]]"]),
        (
            PLAN.replace("0.01%", "0%").replace('"canary 10%"', '"a tenth"'),
            [
                'plan.toml: holdout: expected a share above 0%, got "0%":'
                " a rollout needs requests to compare with",
                'plan.toml: phases[1].steps[0]: expected "on", "off", "shadow"'
                ' or a share of keys such as "canary 10%", got "a tenth"',
            ],
        ),
        (
            PLAN.replace('["errors"]', '["memory"]'),
            [
                f'plan.toml: phases[{index}].watch: "memory" needs'
                ' `memory.planned_size` in the configuration: set it, or leave "memory" out'
                for index in range(2)
            ],
        ),
    ],
    ids=["missing", "no TOML", "empty", "mistakes", "does not fit"],
)
def test_a_plan_that_is_wrong_begins_nothing_and_every_mistake_is_a_line(
    run: Run, fleet_file: str, text: str | None, said: list[str]
) -> None:
    if text is not None:
        Path("plan.toml").write_text(text)
    assert run("rollout", "start", "--plan", "plan.toml", code=1).stderr.splitlines() == said
    assert status(run) is None


def test_without_redis_in_the_configuration_it_is_said_where_to_go(run: Run, write: Write) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    for command in ("start", "status", "history", *MOVES):
        said = run("rollout", command, code=1).stderr
        assert "the configuration has no `redis` setting" in said
        assert "cache.rollout.start()" in said


UNDONE = {
    "start": "no rollout was started",
    "status": "the state of the rollout is not known",
    "history": "the history is not known",
    "promote": "nothing was promoted",
    "approve": "nothing was approved",
    "pause": "nothing was paused",
    "resume": "nothing was resumed",
    "rollback": "nothing was rolled back. Without Redis, set CACHEMW_KILL=1",
}


def test_with_redis_away_each_command_says_in_one_line_that_nothing_was_done(
    run: Run, own_redis_server: RedisServer, write: Write
) -> None:
    write(CONFIG.format(url=own_redis_server.url.replace("://", "://:hidden@")))
    own_redis_server.kill()
    for command, undone in UNDONE.items():
        result = run("rollout", command, code=1)
        assert undone in result.stderr
        assert "cannot be reached" in result.stderr
        assert result.stderr.count("\n") == 1
        assert "hidden" not in result.stderr
        assert result.stdout == ""


def test_a_redis_that_is_full_moves_nothing(
    run: Run, own_redis_server: RedisServer, write: Write, plan_file: str
) -> None:
    """Fails when the state, the flags and the purge are not written in one step."""
    path = write(CONFIG.format(url=own_redis_server.url))
    run("rollout", "start", "--plan", plan_file)
    before = status(run)
    own_redis_server.fill()
    said = run("rollout", "promote", code=1).stderr
    assert "is full" in said
    assert "nothing was promoted" in said
    assert status(run) == before
    assert [each["action"] for each in history(run)] == ["start"]
    with Redis.from_url(own_redis_server.url) as client:
        flags = json.loads(client.get("cachemw:{cli}:flags"))  # type: ignore[arg-type]
    assert flags["classes"]["low"] == "shadow"
    assert Path(path).exists()


def test_a_state_that_cannot_be_read_does_not_keep_a_rollout_from_beginning(
    run: Run, fleet_file: str, plan_file: str, redis_url: str
) -> None:
    with Redis.from_url(redis_url) as client:
        client.set("cachemw:{cli}:rollout", b"\xffrubbish")
    assert run("rollout", "status").stdout == "There is no rollout.\n"
    run("rollout", "start", "--plan", plan_file)
    assert status(run)["status"] == "running"


def test_as_a_process(site: Site, fleet_file: str, plan_file: str) -> None:
    done = spawn("rollout", "start", "--config", fleet_file, "--plan", plan_file)
    assert done.stdout == RUNNING.format(step="'shadow'", number=1, time="01:00:00")
    until(lambda: site.cache.flags.states()["low"] == "shadow")
    assert isinstance(site.cache, Cache)
    document = json.loads(spawn("rollout", "status", "--config", fleet_file, "--json").stdout)
    assert document["flag"] == "shadow"
