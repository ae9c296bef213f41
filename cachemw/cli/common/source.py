"""A configuration that the calling program provides in place of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachemw.config import Config

__all__ = ["Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """The configuration that commands use when the command line names no file.

    `manage.py cachemw` uses it to read the configuration from Django's settings.
    """

    name: str
    """What messages call it, such as `settings.CACHEMW`."""
    read: Callable[[], Config]
    """Returns the configuration; raises ConfigError."""
    notes: Callable[[], Sequence[str]] = tuple
    """Returns what `check` says of defaults that this program has added."""

    def __str__(self) -> str:
        return self.name
