"""Names of database tables, and patterns of them: a name in which each `*` stands for any characters."""

from __future__ import annotations

from cachemw.config.syntax.decode import Parser
from cachemw.config.syntax.messages import show
from cachemw.config.syntax.values import names, text

__all__ = ["TABLES"]


def _table(value: object) -> str:
    name = text('the name of a table without its schema, or a pattern such as "audit_*"')(value)
    if not name.strip("*"):
        raise ValueError(f"{show(name)} is every table: write `database = false` to record none")
    return name.casefold()


TABLES = names(Parser(_table, "names of tables, which may have `*` in them"))
