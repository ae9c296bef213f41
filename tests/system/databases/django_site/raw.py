"""SQL as a text through Django's cursors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

__all__ = ["execute", "executemany", "rows"]

_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")


def rows(sql: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
    """Return what a statement finds; nothing for one that finds nothing."""
    with connection.cursor() as cursor:
        _execute(cursor, sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def execute(sql: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Run a statement. Its rows are fetched: SQLite carries it out meanwhile."""
    rows(sql, parameters)


def executemany(sql: str, parameters: Iterable[Mapping[str, Any]]) -> None:
    """Run a statement with several sets of parameters."""
    with connection.cursor() as cursor:
        names = _PARAMETER.findall(sql)
        cursor.executemany(
            _PARAMETER.sub("%s", sql), [[each[name] for name in names] for each in parameters]
        )


def _execute(cursor: Any, sql: str, parameters: Mapping[str, Any] | None) -> None:
    if not parameters:
        cursor.execute(sql)
        return
    values = [parameters[name] for name in _PARAMETER.findall(sql)]
    cursor.execute(_PARAMETER.sub("%s", sql.replace("%", "%%")), values)
