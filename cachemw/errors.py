"""The errors that cachemw raises on purpose, under one root.

The name of an error tells whose fault it is: a configuration, a tag or a rollout order that somebody
wrote, or the shared store. Errors of the Redis driver never leave cachemw: they are mapped to
`StoreUnavailable` where the driver is called.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CacheError",
    "ConfigError",
    "ConnectError",
    "EntryRejected",
    "Problem",
    "RolloutError",
    "SearchTimedOut",
    "StoreError",
    "StoreUnavailable",
    "TagError",
]


class CacheError(Exception):
    """The root of everything that cachemw raises on purpose."""


class Problem(NamedTuple):
    """One mistake in a configuration: where it is (`routes[0].ttl`) and what to write instead."""

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


class TagError(CacheError, ValueError):
    """A text that cannot be used as a tag. The message says why."""


class RolloutError(CacheError, ValueError):
    """An order that the rollout cannot follow in its present state."""


class StoreError(CacheError):
    """The shared store could not do what it was asked to do."""


class StoreUnavailable(StoreError):
    """The shared store did not answer in time, refused the connection, or its breaker is open."""


class ConnectError(StoreError):
    """No connection can be opened. The message is the rest of a sentence: "cannot be used with TLS: …"."""


class EntryRejected(StoreError):
    """Stored bytes are not an entry that this release can trust. `reason` is a short, stable word."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"stored entry rejected: {reason}")


class SearchTimedOut(CacheError):
    """A search through the stored entries reached its time limit before it had seen all of them."""
