"""The flags of one cache and the files of its machine, joined with Redis, the engine and the logs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from cachemw.config import Config
from cachemw.config.rollout_plan import gated_flags, load_plan, uncovered
from cachemw.engine.core.engine import Engine
from cachemw.engine.model.routes import RouteState
from cachemw.process.clock import Clock
from cachemw.rollout.flags.files import (
    FlagFiles,
    LocalFile,
    Mirror,
    MirrorAge,
    default_path,
)
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.telemetry.logs import set_level
from cachemw.telemetry.reporter import Reporter
from cachemw.wiring.redis import RedisParts

__all__ = ["make_flag_files", "make_flags"]

_FOLDER_MODE: Final = 0o700
"""The state folder of a user is for that user (XDG Base Directory Specification)."""


def make_flags(
    config: Config,
    routes: list[RouteState],
    engine: Engine,
    redis: RedisParts | None,
    warn: Callable[[str], object],
) -> Flags:
    """Return the flags as configuration and plan set them; call `warn` for a class without a phase.

    Raises ConfigError for a plan with mistakes.
    """

    path = config.rollout.plan
    plan = None if path is None else load_plan(path)
    for warning in () if plan is None else uncovered(plan, config):
        warn(warning)

    def set_holdout(share: float) -> None:
        engine.holdout = share

    return Flags(
        routes,
        ConfiguredFlags(
            classes=config.flags if plan is None else gated_flags(plan, config),
            routes=config.route_flags,
            kill=config.kill,
            holdout=config.holdout,
            levels=config.log_levels,
        ),
        set_holdout=set_holdout,
        set_level=set_level,
        exchange=redis.log.flags.exchange if redis else None,
        known=redis is None or config.flags_unknown == "configured",
    )


def make_flag_files(
    config: Config,
    clock: Clock,
    flags: Flags,
    reporter: Reporter,
    redis: RedisParts | None,
) -> FlagFiles:
    """Return the files of this machine; a mirror that cannot be written is one warning."""

    local = mirror = None
    if config.flags_file is not None:
        local = LocalFile(config.flags_file, flags, reporter.logs.flags_file_refused)
    path = _mirror_path(config, reporter)
    if path is not None:
        mirror = Mirror(
            path,
            config.namespace,
            flags,
            reporter.count,
            failed=reporter.logs.flags_mirror_failed,
            age=MirrorAge(_heard(clock, redis), config.flags_mirror_age, clock.time),
            remembered=redis.remembered if redis else None,
        )
    return FlagFiles(local, mirror, reporter.logs.failed)


def _mirror_path(config: Config, reporter: Reporter) -> str | None:
    """Return the path of the mirror, None for no mirror. Make the folder of the default one."""
    if isinstance(config.flags_mirror, str):
        return config.flags_mirror
    # Without Redis there is nothing to be told that a process does not know itself, and other
    # programs of this user may have the same namespace.
    if not config.flags_mirror or config.redis is None:
        return None
    path = ""
    try:
        path = default_path(config.namespace, config.redis.safe_url, os.environ)
        os.makedirs(os.path.dirname(path), _FOLDER_MODE, exist_ok=True)
    except OSError as error:  # a mirror that is there can be read all the same
        reporter.count("store_error", "flags_mirror")
        reporter.logs.flags_mirror_failed(path, error.strerror or type(error).__name__)
    return path if path and os.path.isdir(os.path.dirname(path)) else None


def _heard(clock: Clock, redis: RedisParts | None) -> Callable[[], float | None]:
    """Return a function that returns when the log was last heard, in seconds since the epoch."""

    def heard() -> float | None:
        alive_at = redis.log.alive_at if redis else None
        return None if alive_at is None else clock.time() - (clock.monotonic() - alive_at)

    return heard
