from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.logs import (
    MAX_FUNCTIONS,
    MAX_NOTES,
    MAX_SECOND_CACHES,
    RISKS,
    JsonFormatter,
    Logs,
    configure,
    set_level,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    parent = logging.getLogger("cachemw")
    children = [logging.getLogger(f"cachemw.{name}") for name in (*RISKS, "faults")]
    parent.addHandler(handler)
    before = [logger.level for logger in children]
    yield handler
    parent.removeHandler(handler)
    for logger, level in zip(children, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_request_line_has_its_fields_in_text_and_on_the_record(lines: Lines) -> None:
    configure({"low": "debug"})
    Logs().request("low", "/products/{id}", Outcome.HIT_MEMORY, 200, 0.0000412)
    (record,) = lines.records
    assert record.name == "cachemw.low"
    assert record.levelno == logging.DEBUG
    assert record.getMessage() == (
        "event=request route=/products/{id} outcome=hit_memory tier=memory status=200 ms=0.041"
    )
    assert record.__dict__["cachemw"] == {
        "event": "request",
        "route": "/products/{id}",
        "outcome": "hit_memory",
        "tier": "memory",
        "status": 200,
        "ms": 0.041,
    }


def test_a_request_line_says_why_the_application_was_asked(lines: Lines) -> None:
    configure({"low": "debug"})
    Logs().request("low", "/products/{id}", Outcome.PASS, 200, 0.001, "cookie")
    (record,) = lines.records
    assert record.getMessage().endswith(" ms=1.0 reason=cookie")
    assert record.__dict__["cachemw"]["reason"] == "cookie"


def test_each_risk_class_has_its_own_level_and_changes_live(lines: Lines) -> None:
    configure({"low": "DEBUG", "medium": "debug", "high": "info"})
    logs = Logs()

    def say() -> list[str]:
        lines.records.clear()
        for risk in RISKS:
            logs.request(risk, "/", Outcome.MISS, 200, 0.01)
        return [record.name for record in lines.records]

    assert say() == ["cachemw.low", "cachemw.medium"]
    set_level("low", "off")
    set_level("high", "debug")
    assert say() == ["cachemw.medium", "cachemw.high"]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"lowest": "debug"}, "risk class 'lowest' is not one of low, medium, high"),
        (
            {"low": "info", "high": "loud"},
            "log level 'loud' is not one of debug, info, warning, error, critical, off",
        ),
    ],
)
def test_unknown_words_are_refused_and_change_nothing(
    lines: Lines, levels: dict[str, str], message: str
) -> None:
    before = logging.getLogger("cachemw.low").level
    with pytest.raises(ValueError, match=message):
        configure(levels)
    assert logging.getLogger("cachemw.low").level == before


def test_nothing_is_formatted_when_the_level_is_off(lines: Lines) -> None:
    configure(dict.fromkeys(RISKS, "off"))

    class Unprintable(str):
        def __str__(self) -> str:
            raise AssertionError("formatted")

    logs = Logs(request_lines_per_second=0)
    logs.request("high", Unprintable("/"), Outcome.MISS, 200, 0.1)
    logs.not_stored("high", Unprintable("/"), "private")
    assert lines.records == []


def test_request_lines_are_capped_and_the_drops_counted(lines: Lines, clock: Clock) -> None:
    """Fails without the token bucket."""
    set_level("medium", "debug")
    counters = Counters(["products"])
    logs = Logs(
        request_lines_per_second=5,
        on_drop=lambda: counters.event("log_lines_dropped"),
        clock=clock,
    )
    for _ in range(20):
        logs.request("medium", "/", Outcome.MISS, 200, 0.1)
    assert len(lines.records) == 5
    assert counters.snapshot().events == {"log_lines_dropped": {"": 15}}
    clock.now += 0.2
    for _ in range(3):
        logs.request("medium", "/", Outcome.MISS, 200, 0.1)
    assert len(lines.records) == 6
    assert lines.messages[-1].endswith("dropped_before=15")
    clock.now += 3600
    for _ in range(20):
        logs.request("medium", "/", Outcome.MISS, 200, 0.1)
    assert len(lines.records) == 11


@pytest.mark.parametrize(
    "say",
    [
        lambda logs, word: logs.stale_served("low", f"/{word}", Outcome.STALE_MEMORY),
        lambda logs, word: logs.not_stored("low", "/", word),
        lambda logs, word: logs.entry_rejected(word),
    ],
    ids=["stale_served", "not_stored", "entry_rejected"],
)
def test_the_same_note_is_told_once_a_minute(
    lines: Lines, clock: Clock, say: Callable[[Logs, str], None]
) -> None:
    set_level("low", "info")
    logs = Logs(clock=clock)
    for _ in range(10):
        say(logs, "a")
        say(logs, "b")
    assert len(lines.records) == 2
    clock.now += 59
    say(logs, "a")
    assert len(lines.records) == 2
    clock.now += 1
    say(logs, "a")
    assert len(lines.records) == 3


def test_the_memory_of_notes_is_bounded(lines: Lines, clock: Clock) -> None:
    set_level("low", "info")
    logs = Logs(clock=clock)
    for number in range(MAX_NOTES + 50):
        logs.not_stored("low", "/", f"reason{number}")
    assert len(lines.records) == MAX_NOTES
    clock.now += 60
    logs.not_stored("low", "/", "another")
    assert len(lines.records) == MAX_NOTES + 1


def test_second_caches_are_warned_of_once_and_their_memory_is_bounded(lines: Lines) -> None:
    logs = Logs()
    for _ in range(2):
        for number in range(MAX_SECOND_CACHES + 50):
            logs.second_cache_unknown("default", f"/{number}")
    assert len(lines.records) == MAX_SECOND_CACHES


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (
            lambda logs: logs.redis_error("redis://h/0", "cannot be reached: no route"),
            'event=redis_error redis=redis://h/0 error="cannot be reached: no route"',
        ),
        (lambda logs: logs.breaker_opened("redis://h"), "event=breaker_opened redis=redis://h"),
        (
            lambda logs: logs.breaker_closed("redis://h", 2.5),
            "event=breaker_closed redis=redis://h seconds=2.5",
        ),
        (lambda logs: logs.log_lost("TimeoutError"), "event=log_lost error=TimeoutError"),
        (lambda logs: logs.log_regained(3.0, 7), "event=log_regained seconds=3.0 records=7"),
    ],
)
def test_faults_are_warnings(lines: Lines, say: Callable[[Logs], None], message: str) -> None:
    say(Logs())
    (record,) = lines.records
    assert (record.name, record.levelname) == ("cachemw.faults", "WARNING")
    assert record.getMessage() == message


def test_an_unknown_function_is_told_of_once(lines: Lines) -> None:
    logs = Logs()
    for _ in range(3):
        logs.unknown_functions(("shop.total", "best"), "SELECT shop.total(?)", writes=True)
    logs.unknown_functions(("best", "other"), "SELECT other()", writes=False)
    told = [each.cachemw for each in lines.records]  # type: ignore[attr-defined]
    assert [each["function"] for each in told] == ["shop.total", "best", "other"]
    assert told[0]["statement"] == "SELECT shop.total(?)"
    assert told[0]["counts_as"] == "a write of every table"
    assert told[2]["counts_as"] == "a read of every table"
    assert "recording.pure_functions" in lines.records[0].getMessage()


def test_the_number_of_functions_that_are_told_of_is_bounded(lines: Lines) -> None:
    logs = Logs()
    for number in range(MAX_FUNCTIONS + 50):
        logs.unknown_functions((f"f{number}",), "", writes=False)
    assert len(lines.records) == MAX_FUNCTIONS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain/{id}", "plain/{id}"),
        ("two words", '"two words"'),
        ('a"b', '"a\\"b"'),
        ("a=b", '"a=b"'),
        ("x\nevent=forged", '"x\\nevent=forged"'),
        ("x\u2028y", '"x\\u2028y"'),
        ("", '""'),
        ("100%s", "100%s"),
    ],
)
def test_a_value_cannot_break_out_of_its_field(lines: Lines, value: str, text: str) -> None:
    set_level("low", "info")
    Logs().not_stored("low", "/", value)
    assert lines.messages == [f"event=not_stored route=/ reason={text}"]


def test_json_lines_carry_the_fields(lines: Lines) -> None:
    set_level("low", "debug")
    Logs().request("low", "/a", Outcome.PASS, 404, 0.5)
    line = json.loads(JsonFormatter().format(lines.records[0]))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "debug",
        "logger": "cachemw.low",
        "event": "request",
        "route": "/a",
        "outcome": "pass",
        "tier": "origin",
        "status": 404,
        "ms": 500.0,
    }


def test_json_lines_of_other_loggers_carry_message_and_exception() -> None:
    try:
        raise KeyError("gone")
    except KeyError as error:
        info = (KeyError, error, error.__traceback__)
    record = logging.LogRecord("app", logging.ERROR, __file__, 1, "lost %s", ("it",), info)
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "lost it"
    assert "KeyError: 'gone'" in line["exception"]


EVIL = "\x1b[2J\x9b\u202e\n\u2028"
HIDDEN = ["a\u202eb", "a\u2066b", "a\u200bb", "a\x1bb", "a\x9bb", "a\u2028b", EVIL]


@pytest.mark.parametrize("text", HIDDEN, ids=ascii)
def test_a_value_hides_no_character(lines: Lines, text: str) -> None:
    """Escape sequences would rewrite the terminal on which somebody follows the log."""
    Logs().rollout("pause", text, text, text)
    (message,) = lines.messages
    assert message.isprintable()
    assert message.isascii()
    assert lines.records[0].cachemw["reason"] == text  # type: ignore[attr-defined]


def test_a_traceback_hides_no_character(lines: Lines) -> None:
    """The text of an error may come from Redis. The guard is the filter of the logger."""
    try:
        raise ValueError(EVIL)
    except ValueError:
        Logs().failed("store_failed")
    (record,) = lines.records
    shown = logging.Formatter().format(record)
    assert shown.replace("\n", "").isprintable()
    assert "ValueError: \\x1b[2J\\x9b\\u202e\n\\u2028" in shown
    assert EVIL in json.loads(JsonFormatter().format(record))["exception"]
