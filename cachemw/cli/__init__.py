"""The command line. `main` works without the extra `cli`: it says what to install."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from cachemw.cli.common.source import Source

__all__ = ["Source", "main"]


def main(
    arguments: Sequence[str] | None = None,
    *,
    program: str | None = None,
    source: Source | None = None,
) -> NoReturn:
    """Run the command that the arguments name, the process's own if none are given; ends the process.

    `source` is the configuration where the command line names none; `program` is what help calls
    the command.
    """
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.exit(f'cachemw: the command line needs {error.name}: pip install "cachemw[cli]"')
    from cachemw.cli.group import group

    group.main(arguments, prog_name=program, obj=source)
