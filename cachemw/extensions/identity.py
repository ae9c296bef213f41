"""Identity functions: code of the application that returns who sent a request."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from cachemw.config import Config
from cachemw.engine.model.routes import Identify
from cachemw.errors import ConfigError, Problem

__all__ = ["Identify", "import_function", "resolve_identities"]


def resolve_identities(config: Config, registered: Mapping[str, Identify]) -> dict[str, Identify]:
    """Return the identity function of every name in the routes.

    A name is one that was given to `Cache(identities=…)`, or `module:function` to import. Raises one
    ConfigError that lists all names without a function.
    """
    found: dict[str, Identify] = {}
    problems = []
    for index, route in enumerate(config.routes):
        if route.identity is None or route.identity in found:
            continue
        try:
            found[route.identity] = registered.get(route.identity) or _imported(route.identity)
        except (ImportError, AttributeError, ValueError) as error:
            problems.append(Problem(f"routes[{index}].identity", f"{route.identity!r}: {error}"))
        except Exception as error:  # of the module, while it is imported
            message = f"{route.identity!r} cannot be imported: {type(error).__name__}: {error}"
            problems.append(Problem(f"routes[{index}].identity", message))
    if problems:
        raise ConfigError(problems)
    return found


def _imported(name: str) -> Identify:
    if ":" not in name:
        raise ValueError("no function of that name was given to Cache(identities=…)")
    function: Identify = import_function(name)
    return function


def import_function(name: str) -> Any:
    """Return the function `module:function`. Raises what the import raises, and ValueError."""
    module, _, attribute = name.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    if not callable(function):
        raise ValueError("is not callable")
    return function
