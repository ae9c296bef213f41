"""The language of a vendor: the dialect for the parser, and the effects of its functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cachemw.recording.sql.functions.known import KnownFunctions
from cachemw.recording.sql.functions.tables import FunctionTable, table_of
from cachemw.recording.sql.lexical.calls import FunctionCall, find_calls, find_fields
from cachemw.recording.sql.lexical.words import Words

__all__ = ["CallEffects", "SqlLanguage", "language_of"]

_DIALECTS = {
    "postgresql": "postgres",
    "cockroachdb": "postgres",
    "redshift": "redshift",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "oracle": "oracle",
    "microsoft": "tsql",
    "mssql": "tsql",
    "snowflake": "snowflake",
    "duckdb": "duckdb",
}


_MOST_NAMES = 8
"""Most unknown functions of a statement that are named (I4)."""


@dataclass(frozen=True, slots=True)
class CallEffects:
    """The effects of all calls of a statement."""

    reads: bool = False
    """Whether any table may be read."""
    writes: bool = False
    """Whether any table may be written."""
    unknown: tuple[str, ...] = ()
    """The functions of which that is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class SqlLanguage:
    """The language of the statements of a vendor."""

    dialect: str | None
    """The parser's name of the dialect; None for one that it does not know."""
    functions: FunctionTable
    known: KnownFunctions

    def calls(self, words: Words) -> list[FunctionCall]:
        """Return what may be a call."""
        calls = list(find_calls(words, self.functions.keywords))
        return [*calls, *find_fields(words)] if self.dialect == "postgres" else calls

    def effects(
        self, calls: Iterable[FunctionCall], aliases: Mapping[str, int] | None = None
    ) -> CallEffects:
        """Return what calls may do.

        `aliases`: how often a name is an alias with columns. So many of what looks like its calls are none.
        """
        left = Counter(aliases)
        reads = writes = False
        unknown: dict[str, None] = {}
        for call in calls:
            effect = self.known.effect(
                call.schema, call.name, quoted=call.quoted, table=self.functions
            )
            if effect == "none":
                continue
            if not call.schema and left[call.name.lower()] > 0:
                left[call.name.lower()] -= 1
                continue
            reads = True
            if effect == "unknown" and len(unknown) < _MOST_NAMES:
                unknown[call.written] = None
            writes |= effect == "writes" or (effect == "unknown" and self.functions.may_write)
        return CallEffects(reads, writes, tuple(unknown))


def language_of(vendor: str, known: KnownFunctions) -> SqlLanguage:
    """Return how the statements of a vendor are read, where an application has declared functions."""
    return SqlLanguage(_DIALECTS.get(vendor), table_of(vendor), known)
