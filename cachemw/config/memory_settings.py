"""The options of the memory tier."""

from __future__ import annotations

from typing import ClassVar

from cachemw.config.checks import rules
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import Rule, Setting, Settings, option, settings
from cachemw.config.syntax.raw_types import Size

__all__ = ["MemorySettings"]


@settings
class MemorySettings(Settings):
    """The entries that each process keeps in its own memory."""

    max_size: Setting[Size | None, int | None] = option(
        v.positive_size,
        default=None,
        help="Maximum bytes of entries in each process. Left out: 256MiB, or less where memory is limited.",
    )
    shadow_size: Setting[Size, int] = option(
        v.positive_size,
        default="16MiB",
        help="Maximum bytes, besides `max_size`, of entries that are kept for comparison in shadow.",
    )
    planned_size: Setting[Size | None, int | None] = option(
        v.positive_size,
        default=None,
        help="Bytes that you expect each process to use. The rollout's `memory` guardrail needs it.",
    )
    process_limit: Setting[Size | None, int | None] = option(
        v.positive_size,
        default=None,
        help="Memory limit of each process: warnings at 70 and 90 %. Left out: that of its container.",
    )

    learned_keys: Setting[int, int] = option(
        v.integer(1),
        default=20_000,
        help="Maximum number of answers whose changes a process remembers, about 300 bytes each.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (Rule(("max_size", "planned_size"), rules.planned_size),)
