"""The live document: of an older release, of a newer one, and changed by settings."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cachemw import Cache
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.rollout.flags.live import (
    FlagError,
    LiveFlags,
    changed_flags,
    read_document,
    write_document,
)

ROUTES = [{"name": "low:er", "path": "/low", "ttl": "60s", "risk": "low"}]


def test_a_document_of_an_older_release_is_read() -> None:
    older = (
        b'{"revision": 4, "kill": true, "classes": {"low": "off"}, "routes": {}, "holdout": null}'
    )
    assert read_document(older) == LiveFlags(revision=4, kill=True, classes={"low": "off"})


def test_a_document_of_a_newer_release_is_read_without_what_is_unknown() -> None:
    newer = b'{"revision": 4, "kill": true, "regions": {"eu": "off"}, "levels": {"low": "debug"}}'
    assert read_document(newer) == LiveFlags(revision=4, kill=True, levels={"low": "debug"})


DEEP = b'{"x": ' + b"[" * 9999


@pytest.mark.parametrize(
    "document", [None, b"", b"\xff", b"[]", b'{"levels": {"low": 5}}', DEEP], ids=range(6)
)
def test_what_cannot_be_read_is_none(document: bytes | None) -> None:
    assert read_document(document) is None


def test_levels_are_set_and_go_back() -> None:
    live = changed_flags(LiveFlags(), [], {"level:low": "debug", "level:high": "error"})
    assert live == LiveFlags(revision=1, levels={"low": "debug", "high": "error"})
    live = changed_flags(live, [], {"level:low": "default", "level:medium": "default"})
    assert live.levels == {"high": "error"}
    assert read_document(write_document(live)) == live


def test_a_route_may_have_a_colon_in_its_name() -> None:
    live = changed_flags(LiveFlags(), ["low:er"], {"route:low:er": "off"})
    assert live.routes == {"low:er": "off"}


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("level:low", "loud", 'level:low: expected "debug", "info", "warning" or "error"'),
        ("level:lwo", "debug", "'level:lwo' is not a flag"),
        ("level:", "debug", "'level:' is not a flag"),
        ("level", "debug", "'level' is not a flag"),
        ("low:low", "off", "'low:low' is not a flag"),
        ("level:low", 10, "level:low: expected"),
    ],
)
def test_every_mistake_is_named(name: str, state: object, said: str) -> None:
    with pytest.raises(FlagError) as caught:
        changed_flags(LiveFlags(), [], {name: state, "nothing": "on"})
    first, second = caught.value.mistakes
    assert first.startswith(said)
    assert "level:high" in second  # the names there are


# -- levels in effect ------------------------------------------------------------------------------


def hearing(told: list[tuple[str, str]], **levels: str) -> Flags:
    return Flags(
        [],
        ConfiguredFlags(levels=levels),
        set_level=lambda risk, level: told.append((risk, level)),
        exchange=None,
    )


def test_the_hook_hears_of_what_has_changed_and_of_nothing_else() -> None:
    told: list[tuple[str, str]] = []
    flags = hearing(told, low="info", high="warning")
    assert sorted(told) == [("high", "warning"), ("low", "info")]
    told.clear()
    flags.set({"level:low": "debug", "level:high": "warning"})
    flags.set({"high": "off"})
    flags.set({"level:low": "default"})
    assert told == [("low", "debug"), ("low", "info")]


@pytest.fixture
def _levels_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(f"cachemw.{risk}") for risk in ("low", "medium", "high")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("_levels_as_before")
def test_a_level_of_a_later_release_leaves_the_others_in_force() -> None:
    # Guard: `suppress(ValueError)` in `_tell_levels`.
    cache = Cache.from_dict({"log_levels": {"low": "warning"}})
    levels = {"low": "trace", "medium": "debug", "none": "debug"}
    cache.flags.receive(write_document(LiveFlags(revision=1, kill=True, levels=levels)))
    found = [logging.getLogger(f"cachemw.{risk}").level for risk in ("low", "medium")]
    assert found == [logging.WARNING, logging.DEBUG]
    assert cache.flags.killed


@pytest.mark.usefixtures("_levels_as_before")
def test_what_the_application_set_outlives_a_change_of_other_flags() -> None:
    # Guard: only what has changed is told. `set_level` belongs to the application.
    cache = Cache.from_dict({})
    logging.getLogger("cachemw.medium").setLevel(logging.ERROR)
    cache.flags.set({"level:low": "debug", "high": "off"})
    assert logging.getLogger("cachemw.medium").level == logging.ERROR
