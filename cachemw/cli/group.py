"""The group of all commands, and how an error becomes a message."""

from __future__ import annotations

import logging
from typing import Any

import click

import cachemw
from cachemw.cli.check import check
from cachemw.cli.common.options import ConfigProblems
from cachemw.cli.controller import controller
from cachemw.cli.explain import explain
from cachemw.cli.flags import flags
from cachemw.cli.inspect import inspect
from cachemw.cli.purge import purge
from cachemw.cli.rollout import rollout
from cachemw.cli.stats import stats
from cachemw.cli.tags import tags
from cachemw.errors import CacheError, ConfigError
from cachemw.process.printable import printable

__all__ = ["group"]


class _Group(click.Group):
    """A group that shows each error of cachemw as a message, and imports the demo only on demand."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turns each CacheError into a click.ClickException."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise ConfigProblems(error) from error
        except CacheError as error:
            raise click.ClickException(printable(str(error))) from error
        except (
            click.UsageError
        ) as error:  # it may have several lines, and holds only what was typed
            raise click.UsageError(
                printable(error.format_message(), keep="\n"), error.ctx
            ) from error
        except click.ClickException as error:
            if isinstance(error, ConfigProblems):  # it shows its problems line by line
                raise
            raise click.ClickException(printable(error.message)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), "demo"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name; the demo is loaded here because it needs more packages."""
        return _load_demo() if cmd_name == "demo" else super().get_command(ctx, cmd_name)


def _load_demo() -> click.Command:
    try:
        from cachemw.cli.demo import demo
    except ImportError as error:
        return _demo_without(error.name or "more packages")
    return demo


def _demo_without(package: str) -> click.Command:
    """Return a demo command that says what to install, whatever its arguments are."""
    message = f'the demo needs {package}: pip install "cachemw[demo]"'

    @click.command(
        "demo",
        short_help=f"({message})",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def missing() -> None:
        raise click.ClickException(message)

    return missing


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cachemw.__version__, prog_name="cachemw")
def group() -> None:
    """Operate the response cache of all processes that share a Redis.

    Check its configuration, inspect and purge entries, change flags, roll it out, and watch it.
    """
    # Without a handler, Python would print log warnings on stderr, among the command's own output.
    logging.getLogger("cachemw").addHandler(logging.NullHandler())


for _command in (check, controller, explain, flags, inspect, purge, rollout, stats, tags):
    group.add_command(_command)
