"""The one way in which commands print, so that no text from outside can reach a terminal raw.

Keys, tags, error texts and counts come from Redis, where others may write. Each line, cell and message
is made printable (`process.printable`). A test checks that no command prints in another way.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from cachemw.process.printable import printable

__all__ = ["PrintableConsole", "echo", "echo_json", "make_table", "make_text", "open_console"]

_FILE_WIDTH = 200
"""Columns of tables in files and pipes, which have no width of their own."""


def echo(*lines: str, err: bool = False, file: Any = None) -> None:
    """Print lines on stdout, on stderr, or into a file."""
    for line in lines:
        click.echo(printable(line), file=file, err=err)


def echo_json(document: object, *, indent: int | None = 2) -> None:
    """Print a JSON document, which has no other characters than ASCII."""
    click.echo(json.dumps(document, indent=indent))


class PrintableConsole(Console):
    """A console that prints every text so that it can be seen, whatever it is a part of."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of a renderable. Segments with controls are rich's own, such as a cursor's."""
        for segment in super().render(renderable, options):
            if segment.control is None:
                yield Segment(printable(segment.text, keep="\n"), segment.style)
            else:
                yield segment


def open_console() -> PrintableConsole:
    """Return a console on stdout."""
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    return PrintableConsole(width=width, highlight=False)


def make_text(*lines: str) -> Text:
    """Return lines for a console: they are text, never markup, and none of them becomes two."""
    return Text("\n".join(map(printable, lines)))


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
        table.add_row(*(make_text(row[index]) for index in filled))
    return table
