"""The option `--config`, and reading the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from cachemw.cli.common.printing import echo
from cachemw.cli.common.source import Source
from cachemw.config import Config, load_config
from cachemw.errors import ConfigError

__all__ = [
    "CONFIG_FILE",
    "VARIABLE",
    "ConfigLocation",
    "ConfigProblems",
    "choose_config",
    "config_option",
    "read_config",
]

CONFIG_FILE = "cachemw.toml"
VARIABLE = "CACHEMW_CONFIG"

ConfigLocation = str | Source
"""The path of a configuration file, or the configuration that the calling program provides."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class ConfigProblems(click.ClickException):
    """A configuration that cannot work, shown as one line for each mistake."""

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error

    def show(self, file: Any = None) -> None:
        """Print the lines on stderr."""
        source = f"{self.error.source}: " if self.error.source else ""
        for problem in self.error.problems:
            line = " ".join(f"{source}{problem}".splitlines())
            echo(line, file=file, err=file is None)


def choose_config(ctx: click.Context, parameter: click.Parameter, path: str) -> ConfigLocation:
    """Return the file if the command line names one, else the calling program's configuration.

    Where the calling program provides none, return the file that click found: from the environment
    variable, or the default name.
    """
    provided = ctx.find_object(Source)
    is_named = ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    return path if provided is None or is_named else provided


def config_option(command: _Command) -> _Command:
    """Add the option `--config` to a command, as its parameter `path`."""
    return click.option(
        "--config",
        "path",
        callback=choose_config,
        envvar=VARIABLE,
        default=CONFIG_FILE,
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help="The configuration file, the same that the application uses.",
    )(command)


def read_config(path: ConfigLocation) -> Config:
    """Read a configuration and apply the CACHEMW_... environment variables; raises ConfigError."""
    return path.read() if isinstance(path, Source) else load_config(path)
