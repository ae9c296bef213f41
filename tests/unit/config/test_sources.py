"""Files, Django's settings, and the environment over both."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from cachemw.config import Config, config_from, config_from_django, load_config
from cachemw.errors import ConfigError

ROUTES = [{"name": "products", "path": "/p/{id}", "ttl": "60s"}]


def problems_of(document: dict[str, Any], environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_from(document, environ=environ)
    return [str(problem) for problem in caught.value.problems]


def test_the_environment_wins_over_the_document() -> None:
    config = config_from(
        {"namespace": "a", "redis": "redis://a", "memory": {"planned_size": 5}, "routes": ROUTES},
        environ={
            "CACHEMW_NAMESPACE": "b",
            "CACHEMW_REDIS": "redis://b",
            "CACHEMW_SECRET": "0123456789abcdef",
            "CACHEMW_DIGEST_SECRET": "of the digests, all",
            "CACHEMW_MEMORY_MAX_SIZE": "1MiB",
            "CACHEMW_FLAGS": "low=on, medium=off,route:products=off,",
            "CACHEMW_FLAGS_FILE": "/etc/shop/flags.toml",
            "CACHEMW_FLAGS_MIRROR": "/var/lib/shop/flags.json",
        },
    )
    assert (config.namespace, config.secret) == ("b", ("0123456789abcdef",))
    assert config.digest_secret == "of the digests, all"
    assert config.redis is not None
    assert config.redis.url == "redis://b"
    assert (config.memory.max_size, config.memory.planned_size) == (2**20, 5)
    assert config.flags == {"low": "on", "medium": "off", "high": "on"}
    assert config.route_flags == {"products": "off"}
    assert config.flags_file == "/etc/shop/flags.toml"
    assert config.flags_mirror == "/var/lib/shop/flags.json"


def test_the_environment_leaves_the_document_as_it_was() -> None:
    document: dict[str, Any] = {"memory": {"max_size": 5}, "flags": {"low": "on"}}
    environ = {"CACHEMW_MEMORY_MAX_SIZE": "6", "CACHEMW_FLAGS": "low=off"}
    assert config_from(MappingProxyType(document), environ=environ).memory.max_size == 6
    assert document == {"memory": {"max_size": 5}, "flags": {"low": "on"}}


def test_a_url_from_the_environment_keeps_the_other_options_of_redis() -> None:
    config = config_from(
        {"redis": {"url": "redis://a", "pool_size": 5}}, environ={"CACHEMW_REDIS": "redis://b"}
    )
    assert config.redis is not None
    assert (config.redis.url, config.redis.pool_size) == ("redis://b", 5)


def test_empty_variables_count_as_not_set() -> None:
    names = ("REDIS", "NAMESPACE", "SECRET", "DIGEST_SECRET", "MEMORY_MAX_SIZE", "FLAGS", "KILL")
    assert config_from({}, environ={f"CACHEMW_{name}": "" for name in names}) == Config()


def test_a_variable_may_hold_several_secrets() -> None:
    environ = {"CACHEMW_SECRET": "the newer of the two, the older of the two"}
    config = config_from({"secret": "of the document"}, environ=environ)
    assert config.secret == ("the newer of the two", "the older of the two")


def test_the_token_of_the_endpoint_may_come_from_the_environment() -> None:
    tokens = {"CACHEMW_ENDPOINT_TOKEN": "the-newer-of-both, the-older-of-both"}
    endpoint = config_from({"endpoint": {"path": "/purge"}}, environ=tokens).endpoint
    assert endpoint.token == ("the-newer-of-both", "the-older-of-both")
    assert endpoint.path == "/purge"
    assert "of-both" not in repr(config_from({}, environ=tokens))


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEMW_NAMESPACE", "from-the-process")
    assert config_from({}).namespace == "from-the-process"
    assert Config().namespace == "default"


@pytest.mark.parametrize("value", ["1", "true", "YES", "on", " 1 ", "kill", "-", "2"])
def test_whatever_cannot_be_read_as_no_kills(value: str) -> None:
    assert config_from({}, environ={"CACHEMW_KILL": value}).kill is True


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off", " off "])
def test_what_says_no_changes_nothing(value: str) -> None:
    assert config_from({}, environ={"CACHEMW_KILL": value}).kill is False
    assert config_from({"kill": True}, environ={"CACHEMW_KILL": value}).kill is True


@pytest.mark.parametrize(
    ("environ", "lines"),
    [
        (
            {"CACHEMW_NAMESPACE": "a b"},
            [
                "CACHEMW_NAMESPACE: expected 1 to 64 letters, digits, dashes or underscores, "
                'got "a b"'
            ],
        ),
        (
            {"CACHEMW_REDIS": "localhost"},
            [
                "CACHEMW_REDIS: expected a URL that starts with redis://, rediss:// or unix://, "
                "or with redis+sentinel:// or redis+cluster://"
            ],
        ),
        (
            {"CACHEMW_MEMORY_MAX_SIZE": "lots"},
            [
                "CACHEMW_MEMORY_MAX_SIZE: expected a size such as "
                '"512KiB", "2MiB", "1GiB" or a number of bytes, got "lots"'
            ],
        ),
        (
            {"CACHEMW_SECRET": "short"},
            ["CACHEMW_SECRET: expected at least 16 characters, got 5"],
        ),
        (
            {"CACHEMW_SECRET": "0123456789abcdef,"},
            ["CACHEMW_SECRET[1]: expected at least 16 characters, got 0"],
        ),
        (
            {"CACHEMW_SECRET": "0123456789abcdef, 0123456789abcdef"},
            ["CACHEMW_SECRET[1]: is listed twice"],
        ),
        (
            {"CACHEMW_ENDPOINT_TOKEN": "0123456789abcdef, 0123456789 ümläut"},
            [
                "CACHEMW_ENDPOINT_TOKEN[1]: expected only letters, digits and -._~+/ with = at "
                "the end, got other characters"
            ],
        ),
        (
            {"CACHEMW_DIGEST_SECRET": "short"},
            ["CACHEMW_DIGEST_SECRET: expected at least 16 characters, got 5"],
        ),
        (
            {"CACHEMW_FLAGS": "hig=on"},
            [
                'CACHEMW_FLAGS: "hig" is not a risk class: '
                'expected "low", "medium" or "high", did you mean "high"?'
            ],
        ),
        (
            {"CACHEMW_FLAGS": "a b=on"},
            ['CACHEMW_FLAGS: "a b" is not a risk class: expected "low", "medium" or "high"'],
        ),
        (
            {"CACHEMW_FLAGS": "route:product=off"},
            ['CACHEMW_FLAGS: no route is named "product", did you mean "products"?'],
        ),
        (
            {"CACHEMW_FLAGS": "low=of"},
            [
                'CACHEMW_FLAGS: expected "on", "off", "shadow" or a share of keys such as'
                ' "canary 10%", got "of"'
            ],
        ),
        (
            {"CACHEMW_FLAGS": "low,route:=on"},
            [
                'CACHEMW_FLAGS: expected flags such as low=off or route:NAME=off, got "low"',
                'CACHEMW_FLAGS: expected flags such as low=off or route:NAME=off, got "route:=on"',
            ],
        ),
    ],
    ids=lambda each: ",".join(each.values()) if isinstance(each, dict) else "",
)
def test_mistakes_in_the_environment_name_the_variable(
    environ: dict[str, str], lines: list[str]
) -> None:
    assert problems_of({"routes": ROUTES}, environ) == lines


def test_mistakes_of_document_and_environment_are_reported_together() -> None:
    assert problems_of({"kill": 5, "memory": 5}, {"CACHEMW_FLAGS": "x"}) == [
        'CACHEMW_FLAGS: expected flags such as low=off or route:NAME=off, got "x"',
        "memory: expected a table, got 5",
        "kill: expected true or false, got 5",
    ]


def test_a_variable_does_not_hide_a_table_that_is_none() -> None:
    assert problems_of({"memory": 5}, {"CACHEMW_MEMORY_MAX_SIZE": "1MiB"}) == [
        "memory: expected a table, got 5"
    ]


def test_a_file_is_read_with_the_environment_over_it(tmp_path: Path) -> None:
    file = tmp_path / "cachemw.toml"
    file.write_text('namespace = "é"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=f"1 problem in {file}:\n  namespace: "):
        load_config(file, environ={})
    assert load_config(str(file), environ={"CACHEMW_NAMESPACE": "e"}).namespace == "e"


def test_django_gives_a_dict_or_the_path_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cachemw.toml"
    file.write_text('namespace = "shop"\n')
    for value in ({"namespace": "shop"}, file, str(file)):
        assert config_from_django(value, environ={}).namespace == "shop"
        environ = {"CACHEMW_NAMESPACE": "env"}
        assert config_from_django(value, environ=environ).namespace == "env"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            None,
            "1 problem in settings:\n"
            "  CACHEMW: expected a dict, or the path of a TOML file, got nothing",
        ),
        (
            {"namspace": "x"},
            '1 problem in settings.CACHEMW:\n  namspace: unknown key, did you mean "namespace"?',
        ),
    ],
    ids=["nothing", "mistake"],
)
def test_mistakes_in_djangos_settings_name_the_setting(value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_django(value, environ={})
    assert str(caught.value) == message


def test_django_may_write_tuples_for_lists() -> None:
    route = {"path": "/p", "ttl": 5, "tags": ("a", "b")}
    assert config_from_django({"routes": (route,)}, environ={}).routes[0].tags == ("a", "b")
