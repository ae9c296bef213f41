"""Completion of names of the configuration in a shell."""

from __future__ import annotations

import click

from cachemw.cli.common.options import ConfigLocation, read_config
from cachemw.rollout.flags.live import HOLDOUT, RISKS

__all__ = ["complete_flag", "complete_route"]


def complete_route(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Return the routes whose names begin so."""
    return [name for name in _route_names(ctx) if name.startswith(typed)]


def complete_flag(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Return the settings of flags that begin so: `low=`, `route:products=`, and then their states."""
    names = [*RISKS, *(f"route:{name}" for name in _route_names(ctx))]
    states: dict[str, tuple[str, ...]] = {"kill": ("on", "off"), HOLDOUT: ("default",)}
    states |= dict.fromkeys(names, ("on", "off", "shadow", "default"))
    name, equals, state = typed.partition("=")
    if equals:
        return [f"{name}={each}" for each in states.get(name, ()) if each.startswith(state)]
    return [f"{each}=" for each in states if each.startswith(name)]


def _route_names(ctx: click.Context) -> list[str]:
    """Return the names of the routes; none where the configuration cannot be read, whatever is wrong."""
    location: ConfigLocation | None = ctx.params.get("path")
    try:
        return [] if location is None else [route.name for route in read_config(location).routes]
    except Exception:  # a traceback would garble the line that is being typed
        return []
