"""Effects of calls of functions, by their names as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from cachemw.recording.sql.functions.tables import FunctionTable

__all__ = ["BUILT_IN", "Effect", "KnownFunctions"]

Effect = Literal["none", "reads", "unknown", "writes"]
"""What a call may do with tables: nothing; read any; it is not known; read and write any."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownFunctions:
    """The functions that an application has declared, besides the built-in ones of its database.

    Each is a name or a pattern, in which `*` stands for any characters. One with a schema, such as
    `shop.total_of`, is of functions that are called so. One without a schema is of functions in every
    schema. Letters count as the same in upper and in lower case.
    """

    pure: tuple[str, ...] = ()
    """Functions that read and write no table."""
    reading: tuple[str, ...] = ()
    """Functions that read tables, and write none. They come first: a name may be in both."""
    _pure: re.Pattern[str] = field(init=False, repr=False)
    _reading: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pure", _compiled(self.pure))
        object.__setattr__(self, "_reading", _compiled(self.reading))

    def effect(self, schema: str, name: str, *, quoted: bool, table: FunctionTable) -> Effect:
        """Return what a call of a function may do; `schema` is empty where none is written."""
        written = [name.lower()]
        if schema:
            written.append(f"{schema}.{name}".lower())
        if any(map(self._reading.fullmatch, written)):
            return "reads"
        if any(map(self._pure.fullmatch, written)):
            return "none"
        return _effect_of_built_in(schema, name, quoted, table)


def _effect_of_built_in(schema: str, name: str, quoted: bool, table: FunctionTable) -> Effect:
    if quoted:
        if table.quoted_is_own or (table.quoted_is_exact and name != name.lower()):
            return "unknown"
        name = name.lower()
    if schema and schema not in table.schemas:
        name = f"{schema}.{name}".lower()
    if name in table.pure:
        return "none"
    if name in table.reading:
        return "reads"
    return "writes" if name in table.writing else "unknown"


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(
        "|".join(".*".join(map(re.escape, each.lower().split("*"))) for each in patterns) or "(?!)"
    )


BUILT_IN = KnownFunctions()
"""The built-in functions only."""
