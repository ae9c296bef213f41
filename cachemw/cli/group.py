"""`cachemw`: the group of all commands, and how their errors are told."""

from __future__ import annotations

import logging
from typing import Any

import click

import cachemw
from cachemw.cli.check import check
from cachemw.cli.common.options import Problems
from cachemw.cli.controller import controller
from cachemw.cli.explain import explain
from cachemw.cli.flags import flags
from cachemw.cli.inspect import inspect
from cachemw.cli.purge import purge
from cachemw.cli.rollout import rollout
from cachemw.cli.stats import stats
from cachemw.cli.tags import tags
from cachemw.errors import CacheError, ConfigError

__all__ = ["group"]


class _Group(click.Group):
    """Tells every error of cachemw's as one message, and imports the demo only for who asks."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; raises click's exceptions and no others of cachemw's."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise Problems(error) from error
        except CacheError as error:
            raise click.ClickException(str(error)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give every command's name."""
        return sorted([*super().list_commands(ctx), "demo"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; the demo is found here, since it needs more than the others."""
        return _demo() if cmd_name == "demo" else super().get_command(ctx, cmd_name)


def _demo() -> click.Command:
    try:
        from cachemw.cli.demo import demo
    except ImportError as error:
        return _without(error.name or "more")
    return demo


def _without(package: str) -> click.Command:
    """Give a demo that says what to install, whatever its arguments."""
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
    """Check, inspect, purge, switch, roll out and watch the cache of a fleet of processes."""
    # Lines of log are for applications: a command tells its own story, unless somebody listens.
    logging.getLogger("cachemw").addHandler(logging.NullHandler())


for _command in (check, controller, explain, flags, inspect, purge, rollout, stats, tags):
    group.add_command(_command)
