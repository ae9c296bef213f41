"""`cachemw controller`: a process that controls rollouts and serves nobody."""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import replace

import click

from cachemw.cli.common.options import (
    Where,
    config_option,
    fleet_cache,
    fleet_redis,
    reaching,
    read_config,
)

__all__ = ["controller"]

_ALONE = "there is no fleet to control"


@click.command()
@config_option
@click.option("--once", is_flag=True, help="End when there is no rollout to control.")
def controller(path: Where, once: bool) -> None:
    """Control rollouts until told to end: look at the fleet, go on, or roll back.

    Several may run, here and in serving processes: one of them at a time has the lease, and another
    takes over within ten seconds of its death.
    """
    config = read_config(path)
    redis = fleet_redis(config, _ALONE)
    own = replace(config.rollout, controller=False)  # it is this thread that controls
    cache, log = fleet_cache(replace(config, rollout=own), _ALONE)
    log.only_listens = True
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        with reaching(redis, "nothing can be controlled"):
            log.flags.read()
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        click.echo(f"Controlling {config.namespace}.", err=True)
        cache.rollout.control(stopping, stay=not once)
    finally:
        cache.close()
