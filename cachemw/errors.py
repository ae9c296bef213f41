"""Every error that cachemw raises, under one root, named by whose fault it is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CacheError",
    "ConfigError",
    "EntryRejected",
    "Problem",
    "StoreError",
    "StoreUnavailable",
]


class CacheError(Exception):
    """The root of everything cachemw raises on purpose."""


class Problem(NamedTuple):
    """One mistake in a configuration: where it is (`routes[0].ttl`) and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(CacheError, ValueError):
    """The configuration is wrong. `problems` holds every mistake found, not only the first."""

    def __init__(self, problems: list[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        where = f" in {source}" if source else ""
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"{count}{where}:{lines}")


class StoreError(CacheError):
    """The shared store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The shared store did not answer in time, refused, or the breaker is open."""


class EntryRejected(StoreError):
    """Stored bytes are not an entry that this release can trust. `reason` is a short, stable word."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"stored entry rejected: {reason}")
