from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cachemw.config import config_from
from cachemw.config.checks.warnings import DEFAULT_NAMESPACE
from cachemw.testing.server import free_port

from .running import Run, spawn

Write = Callable[[str], str]

ROUTES = """
[[routes]]
name = "product"
path = "/products/{id:int}"
mount = "/api"
ttl = "90s"
risk = "medium"
query = ["currency"]
cookies = ["theme"]
vary = ["Accept-Language"]
tags = ["product:{id}"]

[[routes]]
path = "/[bold]search"
ttl = "response"
ignore_query = ["utm_*"]
cookies = []
enabled = false

[[routes]]
path = "/mine"
ttl = "250ms"
identity = "json:loads"
"""

REDIS = 'redis = "redis://app:hidden@h/0"\n'

MISTAKES = """
namspace = "shop"
[[routes]]
path = "products"
ttl = "soon"
"""


def test_the_table_says_what_each_route_does(run: Run, write: Write) -> None:
    write(ROUTES)
    lines = run("check").stdout.splitlines()
    product = next(line for line in lines if "product " in line)
    for cell in ("/api/products/{id:int}", "medium", "90s", "currency", "theme", "product:{id}"):
        assert cell in product
    assert "accept-language" in product
    assert product.rstrip(" │").endswith("on")
    search = next(line for line in lines if "/[bold]search" in line)
    for cell in ("high", "response", "all but utm_*", "none", "off"):
        assert cell in search
    mine = next(line for line in lines if "/mine" in line)
    assert "250ms" in mine
    assert "by json:loads" in mine


def test_json_has_every_route(run: Run, write: Write) -> None:
    path = write(f'{REDIS}namespace = "shop"\nsecret = "{"s" * 16}"\n{ROUTES}')
    output = run("check", path, "--json").stdout
    found = json.loads(output)
    assert found["ok"]
    assert [each.partition(".")[0] for each in found["warnings"]] == [REMOVING]
    assert [route["state"] for route in found["routes"]] == ["on", "off", "on"]
    assert found["routes"][0]["ttl"] == 90
    assert found["routes"][1]["cookies"] == []
    assert "hidden" not in output


UNSIGNED, UNNAMED = "secret is not set", "namespace is 'default'"


def test_it_says_what_becomes_of_cookies(run: Run, write: Write) -> None:
    lists = 'personal_cookies = ["sid"]\ndrop_set_cookie = ["lang"]\n'
    config = f'{lists}[[routes]]\nname = "p"\npath = "/p"\nttl = "1s"\n'
    write(config)
    said = " ".join(run("check").stdout.split())
    assert "bypass with sid; stored without lang" in said
    assert "Cookies of analytics, advertising and load balancers are removed everywhere;" in said
    write(f"remove_analytics_cookies = false\n{config}")
    assert "analytics" not in run("check").stdout
    found = json.loads(run("check", "--json").stdout)
    assert found["notes"] == []
    assert found["routes"][0]["drop_set_cookie"] == ["lang"]


REMOVING = "cookies are removed on product"


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        pytest.param("", [], id="no Redis"),
        pytest.param(REDIS, [UNSIGNED, UNNAMED], id="Redis alone"),
        pytest.param(f'{REDIS}namespace = "default"\n', [UNSIGNED, UNNAMED], id="default, written"),
        pytest.param(f'{REDIS}namespace = "shop"\n', [UNSIGNED], id="a namespace"),
        pytest.param(f'{REDIS}secret = "{"s" * 16}"\n', [UNNAMED], id="a secret"),
        pytest.param(f'{REDIS}secret = ["{"s" * 16}"]\n', [UNNAMED], id="secrets"),
        pytest.param(
            f'{REDIS}namespace = "shop"\nsecret = "{"s" * 16}"\n', [], id="both are there"
        ),
    ],
)
def test_entries_that_others_could_forge_or_share_are_warned_of(
    run: Run, write: Write, settings: str, warned: list[str]
) -> None:
    path = write(settings + ROUTES)
    lines = run("check", path).stderr.splitlines()
    warned = [*warned, REMOVING]
    assert len(lines) == len(warned)
    assert all(
        line.startswith(f"warning: {each}") for line, each in zip(lines, warned, strict=True)
    )
    assert all(" = " in line for line in lines), "each says what to write"
    found = json.loads(run("check", path, "--json").stdout)
    assert found["ok"]
    assert [f"warning: {each}" for each in found["warnings"]] == lines


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ("cookies = []", True),
        ('cookies = ["theme"]', True),
        ("", False),
        ('personal_cookies = ["sid"]', False),
        ('cookies = []\npersonal_cookies = ["sid"]', False),
        ("cookies = []\nenabled = false", False),
        ('identity = "json:loads"', False),
    ],
)
def test_a_route_that_removes_cookies_which_may_be_personal_is_warned_of(
    run: Run, write: Write, options: str, warned: bool
) -> None:
    write(f'[[routes]]\nname = "shop"\npath = "/shop"\nttl = "5s"\n{options}\n')
    assert ("cookies are removed on shop. " in run("check").stderr) is warned


def test_the_default_namespace_is_the_one_that_is_warned_of() -> None:
    assert config_from({}).namespace == DEFAULT_NAMESPACE


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
def test_every_mistake_is_a_line_on_stderr(
    run: Run, write: Write, options: tuple[str, ...]
) -> None:
    path = write(MISTAKES)
    result = run("check", path, *options, code=1)
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    for line, place in zip(lines, ("namspace", "routes[0].path", "routes[0].ttl"), strict=True):
        assert line.startswith(f"{path}: {place}: ")
    if options:
        paths = [problem["path"] for problem in json.loads(result.stdout)["problems"]]
        assert paths == ["namspace", "routes[0].path", "routes[0].ttl"]
    else:
        assert result.stdout == ""


@pytest.mark.parametrize(
    ("path", "more", "warned"),
    [
        ("/healthcheck", "", True),
        ("/health", "", True),
        ("/Health-Check/", "", True),
        ("/health/{part}", "", True),
        ("/ping", "", True),
        ("/-/ready", "", True),
        ("/live", "", True),
        ("/status", 'name = "health_of_the_shop"', True),
        ("/live/scores", "", False),
        ("/shipping", "", False),
        ("/healthy-recipes", "", False),
        ("/health", "enabled = false", False),
    ],
)
def test_a_cached_health_check_is_warned_of(
    run: Run, write: Write, path: str, more: str, warned: bool
) -> None:
    write(f'[[routes]]\npath = "{path}"\nttl = "5s"\n{more}\n')
    result = run("check")
    assert ("hides a failure" in result.stderr) is warned
    assert bool(json.loads(run("check", "--json").stdout)["warnings"]) is warned


@pytest.mark.parametrize("state", ["shadow", "canary 5%"])
def test_one_that_is_on_its_way_to_be_cached_is_warned_of_too(
    run: Run, write: Write, state: str
) -> None:
    path = write(f'[[routes]]\npath = "/health"\nttl = "5s"\n[flags]\nhigh = "{state}"\n')
    assert "looks like a health check" in run("check", path).stderr


def test_the_environment_is_laid_over_the_file(
    run: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[[routes]]\nname = "a"\npath = "/a"\nttl = "5s"\nrisk = "low"\n')
    monkeypatch.setenv("CACHEMW_FLAGS", "low=off")
    assert json.loads(run("check", "--json").stdout)["routes"][0]["state"] == "off"
    monkeypatch.setenv("CACHEMW_KILL", "1")
    assert "kill switch is on" in run("check").stdout


def test_the_file_of_flags_is_checked_too(run: Run, write: Write, tmp_path: Path) -> None:
    write(f'flags_file = "flags.toml"\n{ROUTES}')
    run("check")  # missing, it says nothing
    flags = tmp_path / "flags.toml"
    flags.write_text('"route:product" = "off"\n')
    run("check")
    flags.write_text('"route:products" = "off"\nlow = "of"\n')
    first, second = run("check", code=1).stderr.splitlines()
    assert first.startswith("cachemw.toml: flags_file: flags.toml: 'route:products' is not a flag")
    assert second.startswith("cachemw.toml: flags_file: flags.toml: low: expected")
    found = json.loads(run("check", "--json", code=1).stdout)
    assert [problem["path"] for problem in found["problems"]] == ["flags_file", "flags_file"]


def test_the_file_is_the_argument_or_the_variable_or_here(
    run: Run, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "cachemw.toml: cannot be read" in run("check", code=1).stderr
    write('namespace = "here"\n')
    assert "Namespace here" in run("check").stdout
    other = tmp_path / "other.toml"
    other.write_text('namespace = "other"\n')
    monkeypatch.setenv("CACHEMW_CONFIG", str(other))
    assert "Namespace other" in run("check").stdout
    assert "Namespace here" in run("check", "cachemw.toml").stdout


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ("not_here:who", "No module named 'not_here'"),
        ("json:who", "module 'json' has no attribute 'who'"),
        ("json:__name__", "is not callable"),
        ("broken:who", "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_what_the_configuration_names_is_imported(
    run: Run, write: Write, tmp_path: Path, identity: str, said: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    path = write(f'[[routes]]\npath = "/a"\nttl = "1s"\nidentity = "{identity}"\n')
    line = run("check", code=1).stderr
    assert line.startswith("cachemw.toml: routes[0].identity: ")
    assert said in line
    assert json.loads(run("check", path, "--json", code=1).stdout)["problems"]


def test_a_module_in_this_folder_and_a_name_that_the_application_gives_are_accepted(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "here.py").write_text("def who(request): return None")
    rest = '[[routes]]\npath = "/b"\nttl = "1s"\nidentity = "given"\n'
    write(f'[[routes]]\npath = "/a"\nttl = "1s"\nidentity = "here:who"\n{rest}')
    assert "no mistakes" in spawn("check").stdout


def test_redis_is_tried_only_on_demand(run: Run, write: Write, redis_url: str) -> None:
    path = write(f'redis = "redis://:hidden@127.0.0.1:{free_port()}/0"\n')
    assert "no mistakes" in run("check").stdout
    failed = run("check", "--connect", code=1).stderr
    assert "is this its port?): the application would go on" in failed
    assert "hidden" not in failed
    found = json.loads(run("check", path, "--connect", "--json", code=1).stdout)
    assert found["problems"][0]["path"] == "redis"
    write(f'redis = "{redis_url}"\n')
    assert "no mistakes" in run("check", "--connect").stdout
    write("")
    assert "there is nothing to connect to" in run("check", "--connect", code=1).stderr


@pytest.mark.parametrize(
    ("workers", "redis", "warned"),
    [("4", "", True), ("1", "", False), ("many", "", False), ("4", REDIS, False)],
)
def test_several_workers_with_memory_alone_are_warned_of(
    run: Run,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    workers: str,
    redis: str,
    warned: bool,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    write(f"{redis}{ROUTES}")
    assert ("4 workers have no Redis to share" in run("check").stderr) is warned


PLAN = """
warm_up = 0
[[phases]]
name = "first"
risks = ["medium"]
duration = "1h"
watch = ["errors"]
"""


@pytest.mark.parametrize(
    ("risks", "more", "warned"),
    [
        (
            '["medium"]',
            "",
            ["no phase names the risk class 'high' (mine): it stays 'on', unwatched"],
        ),
        (
            '["medium"]',
            '[flags]\nhigh = "shadow"\n',
            ["no phase names the risk class 'high' (mine): it stays 'shadow', unwatched"],
        ),
        (
            '["low"]',
            "",
            [
                "no phase names the risk class 'medium' (product): it stays 'on', unwatched",
                "no phase names the risk class 'high' (mine): it stays 'on', unwatched",
            ],
        ),
        ('["medium", "high"]', "", []),
    ],
)
def test_a_class_that_the_plan_does_not_name_is_warned_of(
    run: Run, write: Write, tmp_path: Path, risks: str, more: str, warned: list[str]
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace('["medium"]', risks))
    routes = (
        '[[routes]]\nname = "product"\npath = "/product"\nttl = "5s"\nrisk = "medium"\n'
        '[[routes]]\nname = "mine"\npath = "/mine"\nttl = "5s"\n'
    )
    write(f'{routes}{more}[rollout]\nplan = "plan.toml"\n')
    assert run("check").stderr.splitlines() == [f"warning: {each}" for each in warned]
    found = json.loads(run("check", "--json").stdout)
    assert found["warnings"] == warned
    assert found["routes"][0]["state"] == ("off" if "medium" in risks else "on")


def test_a_plan_with_mistakes_is_a_mistake_of_the_configuration(
    run: Run, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace("medium", "medum"))
    write('[rollout]\nplan = "plan.toml"\n')
    assert run("check", code=1).stderr.startswith("plan.toml: phases[0].risks[0]: ")


def test_as_a_process(write: Write) -> None:
    path = write(ROUTES)
    assert "/api/products/{id:int}" in spawn("check", path).stdout
    assert spawn("check", write(MISTAKES), code=1).stderr.count("\n") == 3
