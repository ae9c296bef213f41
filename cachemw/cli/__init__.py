"""The command line. `main` works without the extra `cli`: it says what to install."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the process's arguments name; ends the process."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.exit(f'cachemw: the command line needs {error.name}: pip install "cachemw[cli]"')
    from cachemw.cli.group import group

    group()
