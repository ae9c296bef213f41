"""A configuration that the program which runs the commands brings along, in place of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachemw.config import Config

__all__ = ["Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where commands take their configuration from when the command line names no file."""

    name: str
    read: Callable[[], Config]
    """Raises ConfigError."""

    def __str__(self) -> str:
        return self.name
