"""Plans: what is wrong with one is said in one go, a line each; and what suits a configuration."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cachemw.config import Config, config_from
from cachemw.config.rollout_plan import DEFAULT, GUARDRAILS, RolloutPlan, fit, load_plan, plan_from
from cachemw.errors import ConfigError
from cachemw.rollout.plan_file import default_plan, plan_text

DURATION = (
    'expected a duration such as "250ms", "30s", "5m", "1h", "2d" or a number of seconds, got '
)
POSITIVE = "expected a duration above zero, got "
SHARE = 'expected a share above 0% and below 100%, such as "0.5%", got '
FACTOR = "expected a factor from 1 to 100, such as 1.2, got "
HELD_OUT = 'expected a share of requests from "0%" to "50%", got '
STEP = 'expected "on", "off", "shadow" or a share of keys such as "canary 10%", got '
NAME = "expected 1 to 64 letters, digits, dots, dashes or underscores, got "
GUARDRAIL = 'expected "errors", "latency", "misses", "hits" or "memory", got '
RISK = 'expected "low", "medium" or "high", got '
LEVEL = 'expected "debug", "info", "warning" or "error", got '
FALLS = "lets no more keys use the cache than the step before: put the steps in ascending order"
LAST = 'phases[0].steps: must end with "on": add it as the last step'
NO_NAME = "phases[0].name: is required: The name of the phase, unique in the plan."
NO_RISKS = "phases[0].risks: is required: The risk classes whose routes it turns on."
NO_DURATION = (
    "phases[0].duration: is required: "
    "How long the phase is watched fully on. Each step before takes an equal part of this time."
)


def phase(**changed: Any) -> dict[str, Any]:
    return {"name": "low", "risks": ["low"], "duration": "4h", **changed}


def one(**changed: Any) -> dict[str, Any]:
    """Give a plan of one phase, which is right but for what is changed in that."""
    return {"phases": [phase(**changed)]}


def two(**second: Any) -> dict[str, Any]:
    return {"phases": [phase(), {**phase(name="medium", risks=["medium"]), **second}]}


def margin(name: str, value: object) -> dict[str, Any]:
    return {"guardrails": {name: value}, "phases": [phase()]}


def whole(**changed: Any) -> dict[str, Any]:
    return {"phases": [phase()], **changed}


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    # Keys and types.
    "unknown key": (
        whole(holdot="5%"),
        ['holdot: unknown key, did you mean "holdout"?'],
    ),
    "unknown key in a phase": (
        one(riks=["low"]),
        ['phases[0].riks: unknown key, did you mean "risks"?'],
    ),
    "unknown guardrail": (
        margin("cpu", "5%"),
        [
            "guardrails.cpu: unknown key; the keys here are alpha, dry_run, errors, hits, latency, memory"
        ],
    ),
    "guardrails that are no table": (whole(guardrails=5), ["guardrails: expected a table, got 5"]),
    "phases that are no list": ({"phases": "all"}, ['phases: expected a list, got "all"']),
    "a phase that is no table": (
        {"phases": ["low"]},
        ["phases[0]: expected a table, got a string"],
    ),
    "steps that are no list": (one(steps="on"), ['phases[0].steps: expected a list, got "on"']),
    "risks that are no list": (one(risks="low"), ['phases[0].risks: expected a list, got "low"']),
    "approval that is a word": (
        one(approve="yes"),
        ['phases[0].approve: expected true or false, got "yes"'],
    ),
    "a level that is none": (one(log_level="loud"), [f'phases[0].log_level: {LEVEL}"loud"']),
    "a risk that is none": (
        one(risks=["lwo"]),
        [f'phases[0].risks[0]: {RISK}"lwo", did you mean "low"?'],
    ),
    "no risk": (one(risks=[]), ["phases[0].risks: expected at least one, got an empty list"]),
    "nothing in a phase": ({"phases": [{}]}, [NO_NAME, NO_RISKS, NO_DURATION]),
    # Phases.
    "no phases": ({}, ["phases: expected at least one phase, got none: add [[phases]]"]),
    "an empty list of phases": (
        {"phases": []},
        ["phases: expected at least one phase, got none: add [[phases]]"],
    ),
    "a risk in two phases": (
        two(risks=["medium", "low"]),
        ['phases[1].risks: "low" is already in phases[0]: name it in one phase only'],
    ),
    "a risk twice in one phase": (
        one(risks=["low", "low"]),
        ['phases[0].risks[1]: "low" is listed twice'],
    ),
    "a name twice": (
        two(name="low"),
        ['phases[1].name: "low" is already the name of phases[0]: choose another'],
    ),
    "a name with a space": (one(name="the low"), [f'phases[0].name: {NAME}"the low"']),
    "a name that is a number": (one(name=1), [f"phases[0].name: {NAME}1"]),
    # Steps.
    "a step that is none": (
        one(steps=["shadow", "a tenth", "on"]),
        [f'phases[0].steps[1]: {STEP}"a tenth"'],
    ),
    "steps of which none is one": (
        one(steps=[1, None]),
        [f"phases[0].steps[0]: {STEP}1", f"phases[0].steps[1]: {STEP}nothing"],
    ),
    "steps that fall": (
        one(steps=["canary 50%", "canary 10%", "on"]),
        [f'phases[0].steps[1]: "canary 10%" {FALLS}'],
    ),
    "shadow after a canary": (
        one(steps=["canary 50%", "shadow", "on"]),
        [f'phases[0].steps[1]: "shadow" {FALLS}'],
    ),
    "a step twice": (
        one(steps=["shadow", "shadow", "on"]),
        ['phases[0].steps[1]: "shadow" is listed twice'],
    ),
    "a step twice in two spellings": (
        one(steps=["canary 10%", "canary 10.0%", "on"]),
        ['phases[0].steps[1]: "canary 10%" is listed twice'],
    ),
    "steps that do not end with on": (one(steps=["shadow", "canary 50%"]), [LAST]),
    "no steps": (one(steps=[]), [LAST]),
    "off as a step": (
        one(steps=["off", "on"]),
        [
            'phases[0].steps[0]: "off" cannot be a step: leave it out, a phase is off until it begins'
        ],
    ),
    "a canary of everything": (
        one(steps=["canary 100%", "on"]),
        [
            'phases[0].steps[0]: expected a canary above 0% and below 100%, got "canary 100%":'
            ' write "on" or "off" instead'
        ],
    ),
    # Time.
    "a duration of nothing": (one(duration="0s"), [f'phases[0].duration: {POSITIVE}"0s"']),
    "a duration below nothing": (one(duration=-1), [f"phases[0].duration: {DURATION}-1"]),
    "a duration without a unit": (one(duration="4"), [f'phases[0].duration: {DURATION}"4"']),
    "a duration that is no number": (
        one(duration=math.nan),
        [f"phases[0].duration: {DURATION}nan"],
    ),
    "a duration without end": (one(duration=math.inf), [f"phases[0].duration: {DURATION}inf"]),
    "an interval of nothing": (one(interval=0), [f"phases[0].interval: {POSITIVE}0"]),
    "an interval longer than a step": (
        one(interval="61m"),
        [
            "phases[0].interval: 3660 s is longer than a step (3600 s):"
            " write a shorter interval or a longer duration"
        ],
    ),
    "a warm-up as long as a step": (
        whole(warm_up="1h"),
        [
            "phases[0].duration: each step takes 3600 s and ends before `warm_up` (3600 s):"
            " write a longer duration or a shorter warm_up"
        ],
    ),
    "a hold that is no number": (whole(hold=math.nan), [f"hold: {DURATION}nan"]),
    # Shares and factors.
    "a holdout of none": (
        whole(holdout=0),
        ["holdout: expected a share above 0%, got 0: a rollout needs requests to compare with"],
    ),
    "a holdout of 0%": (
        whole(holdout="0%"),
        ['holdout: expected a share above 0%, got "0%": a rollout needs requests to compare with'],
    ),
    "a holdout finer than a flag can be": (
        whole(holdout=0.00001),
        ['holdout: expected at most two decimals of a per cent, such as "0.01%", got 1e-05'],
    ),
    "a holdout of a third": (
        whole(holdout=1 / 3),
        [
            'holdout: expected at most two decimals of a per cent, such as "0.01%", got 0.3333333333333333'
        ],
    ),
    "a holdout of most": (whole(holdout="51%"), [f'holdout: {HELD_OUT}"51%"']),
    "a holdout that is no number": (whole(holdout=math.nan), [f"holdout: {HELD_OUT}nan"]),
    "a holdout without end": (whole(holdout=math.inf), [f"holdout: {HELD_OUT}inf"]),
    "a holdout beyond floating point": (
        whole(holdout=10**400),
        [f"holdout: {HELD_OUT}a number too large"],
    ),
    "a share of nothing": (margin("errors", "0%"), [f'guardrails.errors: {SHARE}"0%"']),
    "a share of all": (margin("hits", 1), [f"guardrails.hits: {SHARE}1"]),
    "a share that is a switch": (margin("alpha", True), [f"guardrails.alpha: {SHARE}true"]),
    "a share that is no number": (margin("latency", math.nan), [f"guardrails.latency: {SHARE}nan"]),
    "a share of nan%": (margin("errors", "nan%"), [f'guardrails.errors: {SHARE}"nan%"']),
    "a share of inf%": (margin("errors", "inf%"), [f'guardrails.errors: {SHARE}"inf%"']),
    "a share in words": (margin("errors", "few%"), [f'guardrails.errors: {SHARE}"few%"']),
    "a share as only Python writes it": (
        margin("latency", "1_0%"),
        [f'guardrails.latency: {SHARE}"1_0%"'],
    ),
    "a share beyond floating point": (
        margin("errors", 10**400),
        [f"guardrails.errors: {SHARE}a number too large"],
    ),
    "a factor below one": (margin("memory", 0.9), [f"guardrails.memory: {FACTOR}0.9"]),
    "a factor that is no number": (margin("memory", math.nan), [f"guardrails.memory: {FACTOR}nan"]),
    "a factor without end": (margin("memory", math.inf), [f"guardrails.memory: {FACTOR}inf"]),
    "a factor that is a share": (margin("memory", "120%"), [f'guardrails.memory: {FACTOR}"120%"']),
    # Guardrails and components.
    "nothing watched": (
        one(watch=[]),
        ["phases[0].watch: expected at least one, got an empty list"],
    ),
    "watched and there is none": (one(watch=["cpu"]), [f'phases[0].watch[0]: {GUARDRAIL}"cpu"']),
    "dry run of none": (
        margin("dry_run", ["hit"]),
        [f'guardrails.dry_run[0]: {GUARDRAIL}"hit", did you mean "hits"?'],
    ),
    "a component with a space": (
        one(components=["the api"]),
        [f'phases[0].components[0]: {NAME}"the api"'],
    ),
    "a component that is empty": (one(components=[""]), [f'phases[0].components[0]: {NAME}""']),
    "a component twice": (
        one(components=["api", "api"]),
        ['phases[0].components[1]: "api" is listed twice'],
    ),
}


def lines(mapping: Any, source: str = "plan") -> list[str]:
    with pytest.raises(ConfigError) as raised:
        plan_from(mapping, source=source)
    assert raised.value.source == source
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(("mapping", "said"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_one_line_that_names_its_place(
    mapping: dict[str, Any], said: list[str]
) -> None:
    assert lines(mapping) == said


def test_all_mistakes_are_found_in_one_go() -> None:
    mapping = {
        "holdout": 0,
        "hold": "soon",
        "guardrails": {"errors": math.nan, "memory": math.inf},
        "phases": [
            phase(name="a b", steps=["canary 50%", "canary 10%"], interval=0),
            phase(duration=0, steps=["half", "on"]),
            "high",
        ],
    }
    assert lines(mapping) == [
        "holdout: expected a share above 0%, got 0: a rollout needs requests to compare with",
        f'hold: {DURATION}"soon"',
        f"guardrails.errors: {SHARE}nan",
        f"guardrails.memory: {FACTOR}inf",
        f'phases[0].name: {NAME}"a b"',
        f"phases[0].interval: {POSITIVE}0",
        f'phases[0].steps[1]: "canary 10%" {FALLS}',
        LAST,
        f"phases[1].duration: {POSITIVE}0",
        f'phases[1].steps[0]: {STEP}"half"',
        "phases[2]: expected a table, got a string",
        'phases[1].risks: "low" is already in phases[0]: name it in one phase only',
    ]


@pytest.mark.parametrize("mapping", [5, None, ["low"], "low"])
def test_what_is_no_table_is_no_plan(mapping: object) -> None:
    (said,) = lines(mapping)
    assert said.startswith("expected a table, got ")


def test_a_file_is_named_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    path = tmp_path / "rollout.toml"
    for text, said in (
        (None, "cannot be read: No such file or directory"),
        ("holdout = ", "not valid TOML: Invalid value (at end of document)"),
        ("", "phases: expected at least one phase, got none: add [[phases]]"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError) as raised:
            load_plan(path)
        assert raised.value.source == str(path)
        assert [str(problem) for problem in raised.value.problems] == [said]


# -- the plan of whoever has none -------------------------------------------------------------------


def test_the_default_plan_has_the_three_phases_that_were_asked_for() -> None:
    plan = plan_from(DEFAULT)
    assert [
        (each.risks, each.duration / 3600, each.interval, each.log_level) for each in plan.phases
    ] == [
        (("low",), 4, 30, "debug"),
        (("medium",), 24, 60, "debug"),
        (("high",), 48, 60, "info"),
    ]
    assert [each.approve for each in plan.phases] == [False, False, True]
    assert plan.phases[0].watch == ("errors", "latency", "misses", "memory")
    assert plan.phases[1].watch == plan.phases[2].watch == GUARDRAILS
    assert all(each.steps[0] == "shadow" for each in plan.phases)


def test_a_plan_that_was_read_passes_as_it_is() -> None:
    plan = plan_from(DEFAULT)
    assert plan_from(plan) is plan  # type: ignore[arg-type]


# -- what it is to roll out -------------------------------------------------------------------------

ROUTES = [
    {"name": "pages", "path": "/pages", "ttl": "1m", "risk": "low"},
    {"name": "products", "path": "/products/{id}", "ttl": "1m", "risk": "medium"},
    {"name": "orders", "path": "/orders", "ttl": "1m", "risk": "high"},
]


def config(**settings: Any) -> Config:
    settings.setdefault("routes", ROUTES)
    return config_from({"memory": {"planned_size": "64MiB"}, **settings}, environ={})


def refused(plan: RolloutPlan, config: Config) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        fit(plan, config)
    return [str(problem) for problem in raised.value.problems]


def test_the_default_plan_fits_routes_of_every_class_without_a_warning() -> None:
    assert fit(plan_from(DEFAULT), config()) == []


def test_memory_cannot_be_watched_where_nothing_was_planned() -> None:
    unplanned = config(memory={})
    assert refused(plan_from(DEFAULT), unplanned) == [
        f"phases[{index}].watch: "
        '"memory" needs `memory.planned_size` in the configuration: set it, or leave "memory" out'
        for index in range(3)
    ]
    watched = fit(plan_from(one(watch=["errors"])), unplanned)
    assert [each for each in watched if "memory" in each] == []


def test_nothing_is_rolled_out_while_the_cache_is_killed() -> None:
    assert refused(plan_from(DEFAULT), config(kill=True)) == [
        "kill: the configuration has kill = true, so nothing can be rolled out"
    ]


def test_a_phase_without_routes_is_warned_about() -> None:
    plan = plan_from(one(risks=["low", "high"]))
    warning = "phase 'low' has no routes: none has the risk low or high"
    assert warning in fit(plan, config(routes=ROUTES[1:2]))
    never = {**ROUTES[0], "methods": [], "invalidates": ["page"]}
    assert fit(plan, config(routes=[never])) == [warning]


def test_routes_that_look_like_health_checks_are_warned_about_by_name() -> None:
    routes = [*ROUTES, {"name": "alive", "path": "/healthz", "ttl": "5s", "risk": "low"}]
    (warning,) = fit(plan_from(DEFAULT), config(routes=routes))
    assert warning.startswith("route 'alive' (/healthz) looks like a health check and is cached")


def test_routes_that_the_configuration_keeps_off_are_warned_about_by_name() -> None:
    disabled = [{**ROUTES[0], "enabled": False}, *ROUTES[1:]]
    expected = "route {!r} stays off: the configuration turns it off"
    assert fit(plan_from(DEFAULT), config(routes=disabled)) == [expected.format("pages")]
    flagged = config(route_flags={"orders": "off", "products": "on"})
    assert fit(plan_from(DEFAULT), flagged) == [expected.format("orders")]


def test_a_route_that_the_configuration_keeps_back_is_warned_about_by_name() -> None:
    kept = config(route_flags={"products": "canary 10%", "orders": "shadow"})
    assert fit(plan_from(DEFAULT), kept) == [
        "route 'products' stays at 'canary 10%': the configuration limits it",
        "route 'orders' stays at 'shadow': the configuration limits it",
    ]


def test_a_flag_that_lets_a_disabled_route_in_is_no_reason_to_warn() -> None:
    """The live flag counts before the configured one, and that before `enabled`."""
    disabled = [{**ROUTES[0], "enabled": False}, *ROUTES[1:]]
    assert fit(plan_from(DEFAULT), config(routes=disabled, route_flags={"pages": "on"})) == []


# -- the file that `cachemw rollout plan` writes ------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"memory": {}},
        {"routes": ROUTES[1:2]},
        {"routes": [*ROUTES, {"name": "live", "path": "/livez", "ttl": "5s", "risk": "low"}]},
        {"routes": [{"path": "/caf\u00e9/{id}", "ttl": "5s", "risk": "low"}]},
    ],
    ids=["all", "no memory planned", "one class", "a warning", "a name beyond ASCII"],
)
def test_what_is_written_reads_back_as_the_plan_that_it_is(settings: dict[str, Any]) -> None:
    made = config(**settings)
    text = plan_text(made)
    read = plan_from(tomllib.loads(text))
    assert read == plan_from(default_plan(made))
    assert len(read.phases) == len(default_plan(made)["phases"])
    fit(read, made)


def test_every_option_is_in_the_written_plan() -> None:
    """Fails when an option of a plan is not written: nobody would find it."""
    from cachemw.config.rollout_plan import GuardrailSettings, Phase
    from cachemw.config.syntax.decode import options_of

    read = tomllib.loads(plan_text(config()))
    assert read.keys() == options_of(RolloutPlan).keys()
    assert read["guardrails"].keys() == options_of(GuardrailSettings).keys()
    assert [each.keys() for each in read["phases"]] == [options_of(Phase).keys()] * 3


def test_phases_that_let_in_nothing_are_not_written() -> None:
    assert [each["name"] for each in default_plan(config(routes=ROUTES[1:2]))["phases"]] == [
        "medium"
    ]


def test_what_is_to_be_known_of_it_is_written_above_it() -> None:
    healthy = {"name": "live", "path": "/livez", "ttl": "5s", "risk": "low"}
    text = plan_text(config(memory={}, routes=[*ROUTES, healthy]))
    assert "# Memory is not watched: set `memory.planned_size` to watch it." in text
    assert "# Warning: route 'live' (/livez) looks like a health check" in text
    assert "# Lets in: pages, live\n" in text


def test_without_routes_there_is_nothing_to_be_planned() -> None:
    with pytest.raises(ConfigError, match="there is nothing to roll out"):
        plan_text(config(routes=[]))
