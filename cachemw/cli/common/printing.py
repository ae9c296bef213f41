"""The console and the tables that commands print."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["make_table", "open_console"]

_FILE_WIDTH = 200
"""Columns of tables in files and pipes, which have no width of their own."""


def open_console() -> Console:
    """Return a console on stdout."""
    return Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)


def make_table(columns: list[str], rows: list[list[str]], *, right: tuple[str, ...] = ()) -> Table:
    """Return a table. Cells are text, never markup, and a column that is empty is left out.

    `right` names the columns that are aligned to the right.
    """
    filled = [index for index in range(len(columns)) if not rows or any(row[index] for row in rows)]
    table = Table()
    for index in filled:
        justify: Any = "right" if columns[index] in right else "left"
        table.add_column(columns[index], justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[index]) for index in filled))
    return table
