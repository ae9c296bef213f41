"""The command line `cachemw`.

One module for each command. `main` also runs where the extra `cli` is not installed: it then says
what to install. Nothing else here can be imported without click and rich.

Reading order:

- `group`: the group of all commands, and how an error becomes a message.
- `common`: helpers that the commands share.
- `check`: check a configuration.
- `explain`: show what the cache would do with a request.
- `inspect`: show the entries stored in Redis.
- `tags`: show tags and the dependency graph.
- `purge`: remove entries in every process.
- `flags`: show and change the live flags.
- `rollout`: start, move and roll back a rollout.
- `controller`: a process that only controls rollouts.
- `stats`: show the statistics of all processes.
- `demo`: the example shop under traffic, without and with the cache.
"""

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
    """Run the command that the arguments name, and end the process with its exit status.

    `arguments` default to those of the process. `source` provides the configuration where the
    command line names no file. `program` is the name of the command in help texts.
    """
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.exit(f'cachemw: the command line needs {error.name}: pip install "cachemw[cli]"')
    from cachemw.cli.group import group

    group.main(arguments, prog_name=program, obj=source)
