"""What the commands share: finding the configuration, reaching Redis, telling errors, printing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cachemw.cache import Cache
from cachemw.cli.common.source import Source
from cachemw.config import Config, load_config
from cachemw.config.model import RedisSettings
from cachemw.errors import CacheError, ConfigError, StoreError
from cachemw.invalidation.log.follower import RedisLog

__all__ = [
    "CONFIG_FILE",
    "VARIABLE",
    "Problems",
    "Where",
    "chosen",
    "config_option",
    "fleet_cache",
    "fleet_redis",
    "looking",
    "output",
    "reaching",
    "read_config",
    "table",
    "telling_mistakes",
]

CONFIG_FILE = "cachemw.toml"
VARIABLE = "CACHEMW_CONFIG"

_PATIENCE = 2.0
"""Seconds that Redis has to answer: a person waits here and no request does, and the person's
machine may be further from Redis than the application's."""
_PIPED_WIDTH = 200
"""Columns of tables in files and pipes, where no terminal says how many fit."""

Where = str | Source
"""A configuration file's path, or what the program that runs the command has in its place."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Problems(click.ClickException):
    """A configuration that cannot work: one line for each mistake."""

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error

    def show(self, file: Any = None) -> None:
        """Print the lines on stderr."""
        where = f"{self.error.source}: " if self.error.source else ""
        for problem in self.error.problems:
            line = " ".join(f"{where}{problem}".splitlines())
            click.echo(line, file=file, err=file is None)


def chosen(ctx: click.Context, parameter: click.Parameter, path: str) -> Where:
    """Give the file that the command line names, else the program's own configuration, if it has one."""
    own = ctx.find_object(Source)
    named = ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    return path if own is None or named else own


def config_option(command: _Command) -> _Command:
    """Give a command the option `--config`, as its parameter `path`."""
    return click.option(
        "--config",
        "path",
        callback=chosen,
        envvar=VARIABLE,
        default=CONFIG_FILE,
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help="The configuration of the fleet.",
    )(command)


def read_config(path: Where) -> Config:
    """Read a configuration, with the environment laid over it; raises ConfigError."""
    return path.read() if isinstance(path, Source) else load_config(path)


def fleet_redis(config: Config, reason: str) -> RedisSettings:
    """Give the way to Redis, with a person's patience; `reason` says why there must be one."""
    if config.redis is None:
        raise click.ClickException(f"the configuration names no `redis`: {reason}")
    return replace(config.redis, deadline=max(_PATIENCE, config.redis.deadline))


def fleet_cache(config: Config, reason: str) -> tuple[Cache, RedisLog]:
    """Make a cache that serves nobody, to speak to the fleet through; opens no connection yet."""
    patient = replace(config, redis=fleet_redis(config, reason))
    # The application's own functions are neither needed nor to be imported here.
    nobody = {route.identity: lambda _: None for route in config.routes if route.identity}
    cache = Cache(patient, identities=nobody)
    assert isinstance(cache.log, RedisLog)
    cache.log.appender.queues = False
    return cache, cache.log


@contextmanager
def looking(config: Config, reason: str, undone: str) -> Iterator[Cache]:
    """Give a cache that looks at what the fleet has in Redis, and that nobody waits for or counts."""
    redis = fleet_redis(config, reason)
    cache, log = fleet_cache(config, reason)
    log.only_listens = True
    try:
        with reaching(redis, undone), telling_mistakes():
            log.flags.read()  # so that what is wrong with Redis is told, and not only that it is silent
            yield cache
    finally:
        cache.close()


@contextmanager
def telling_mistakes() -> Iterator[None]:
    """Turn what the cache says of a wrong name or URL into one message."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, CacheError):
            raise
        raise click.ClickException(str(error)) from error


@contextmanager
def reaching(redis: RedisSettings, undone: str) -> Iterator[None]:
    """Turn a Redis that does not do what it should into one message; `undone` is what that means."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, StoreError) as error:
        what = _illness(error.__cause__ or error)
        raise click.ClickException(f"Redis at {redis.safe_url} {what}: {undone}") from error


def _illness(error: BaseException) -> str:
    from redis.exceptions import ResponseError
    from redis.exceptions import TimeoutError as RedisTimeout

    name = str(error) if isinstance(error, StoreError) else type(error).__name__
    if isinstance(error, (RedisTimeout, TimeoutError)):
        return f"did not answer in {_PATIENCE:g} s"
    return (
        f"refuses ({name})" if isinstance(error, ResponseError) else f"cannot be reached ({name})"
    )


# -- printing --------------------------------------------------------------------------------------


def output() -> Console:
    """Give the console on stdout."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)


def table(columns: list[str], rows: list[list[str]], *, right: tuple[str, ...] = ()) -> Table:
    """Make a table; cells are text, never markup, and a column with nothing in it is left out."""
    shown = [index for index in range(len(columns)) if not rows or any(row[index] for row in rows)]
    made = Table()
    for index in shown:
        justify: Any = "right" if columns[index] in right else "left"
        made.add_column(columns[index], justify=justify, overflow="fold")
    for row in rows:
        made.add_row(*(Text(row[index]) for index in shown))
    return made
