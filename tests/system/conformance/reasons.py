"""Why tests are not passed: `reasons.toml`, asked by test and cache."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .judge import Verdict
from .pins import Pin
from .servers import DOORS

__all__ = ["Reason", "idle", "inapplicable", "read", "unexplained", "why"]

REASONS = Path(__file__).with_name("reasons.toml")
WHAT = ("inapplicable", "chosen", "unfinished")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason, for the tests that it names."""

    what: str
    why: str
    tests: tuple[str, ...]
    on: str | None = None

    def __post_init__(self) -> None:
        if self.what not in WHAT or self.on not in (None, *DOORS):
            raise ValueError(f"{self.what!r} on {self.on!r}: {self.why}")

    def covers(self, test: str, cache: str) -> bool:
        """Whether the reason is one for this test and cache."""
        here = self.on is None or self.on == cache
        return here and any(fnmatchcase(test, pattern) for pattern in self.tests)


def read(path: Path = REASONS) -> list[Reason]:
    """Give the reasons, in the file's order."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["reasons"]
    return [Reason(**{**reason, "tests": tuple(reason["tests"])}) for reason in listed]


def why(reasons: Iterable[Reason], test: str, cache: str) -> Reason | None:
    """Give the first reason for a test."""
    return next((reason for reason in reasons if reason.covers(test, cache)), None)


def inapplicable(reasons: Iterable[Reason], test: str, cache: str) -> bool:
    """Whether a test is not counted for a cache."""
    reason = why(reasons, test, cache)
    return reason is not None and reason.what == "inapplicable"


def unexplained(
    pins: Mapping[str, Pin], reasons: Iterable[Reason], cache: str, verdicts: Mapping[str, Verdict]
) -> list[str]:
    """Give the required tests that one of our front doors fails for no reason that is listed.

    What merely depends on another test needs none: that one has it.
    """
    listed = list(reasons)
    return [
        name
        for name, verdict in verdicts.items()
        if pins[name].kind == "required"
        and not verdict.passes
        and verdict is not Verdict.DEPENDENCY
        and why(listed, name, cache) is None
    ]


def idle(pins: Mapping[str, Pin], reasons: Iterable[Reason]) -> list[str]:
    """Give what is listed for nothing: it names no test, or one that our front doors pass."""
    found = []
    for reason in reasons:
        caches = (reason.on,) if reason.on else tuple(DOORS)
        for pattern in reason.tests:
            named = [name for name in pins if fnmatchcase(name, pattern)]
            passed = all(pins[name].verdicts[cache].passes for name in named for cache in caches)
            if not named or (reason.what != "inapplicable" and passed):
                found.append(pattern)
    return found
