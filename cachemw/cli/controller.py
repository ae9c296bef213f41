"""The command `cachemw controller`: a process that only controls rollouts."""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import replace

import click

from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo
from cachemw.cli.common.redis_access import (
    command_cache,
    redis_settings,
    reporting_redis_errors,
)

__all__ = ["controller"]

_WITHOUT_REDIS = "there are no other processes whose rollout could be controlled"


@click.command(short_help="Control rollouts until stopped.")
@config_option
@click.option("--once", is_flag=True, help="Exit when no rollout is running.")
def controller(path: ConfigLocation, once: bool) -> None:
    """Control rollouts until stopped: check the guardrails, then advance or roll back.

    The process serves no requests. Several controllers may run, here and in serving processes. One
    of them at a time holds the lease; another takes over within ten seconds of its death.
    """
    config = read_config(path)
    redis = redis_settings(config, _WITHOUT_REDIS)
    # The controller runs in this thread, so the cache must not start a second one.
    own = replace(config.rollout, controller=False)
    cache, log = command_cache(replace(config, rollout=own), _WITHOUT_REDIS)
    log.only_listens = True
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        with reporting_redis_errors(redis, "nothing can be controlled"):
            log.flags.read()
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        echo(f"Controlling {config.namespace}.", err=True)
        cache.rollout.control(stopping, stay=not once)
    finally:
        cache.close()
