"""What options must be together. Each rule gives the problems it sees, relative to its table.

A route in a document with mistakes may lack some options: a rule passes over what it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from cachemw.config.checks.unreachable import RouteTree
from cachemw.config.syntax.dependencies import Pattern, find_cycle
from cachemw.config.syntax.messages import did_you_mean, key, show
from cachemw.config.syntax.template import parse_template
from cachemw.config.syntax.values import BODIED_METHODS
from cachemw.errors import Problem

__all__ = [
    "body_of_methods",
    "flagged_routes",
    "heuristic_of_response",
    "known_kinds",
    "one_query_rule",
    "planned_size",
    "reachable",
    "some_purpose",
    "some_ttl",
    "sound_dependencies",
    "tag_parameters",
    "unique_names",
]

Problems = Iterator[Problem]


def planned_size(memory: Any) -> Problems:
    """Check that what is planned fits."""
    if memory.planned_size is not None and memory.planned_size > memory.max_size:
        yield Problem(
            "planned_size",
            f"{memory.planned_size} bytes are more than max_size allows ({memory.max_size})",
        )


def one_query_rule(route: Any) -> Problems:
    """Check that parameters are either listed or ignored."""
    if route.query is not None and route.ignore_query:
        yield Problem(
            "ignore_query", "has no place beside `query`, which already leaves out all others"
        )


def tag_parameters(option: str) -> Callable[[Any], Problems]:
    """Make the check that the parameters in tags are parameters of the path."""

    def check(route: Any) -> Problems:
        known = parse_template(route.path).parameters
        for index, tag in enumerate(getattr(route, option)):
            for name in re.findall(r"\{([^{}]+)\}", tag or ""):
                if name not in known:
                    yield Problem(
                        f"{option}[{index}]",
                        f"the path has no parameter {{{name}}}{did_you_mean(name, known)}",
                    )

    return check


def heuristic_of_response(route: Any) -> Problems:
    """Check that a lifetime is only guessed where the response is to state it."""
    if route.heuristic is not None and route.ttl not in ("response", None):
        yield Problem("heuristic", 'has no place beside a ttl of the route: use ttl = "response"')


def body_of_methods(route: Any) -> Problems:
    """Check that there is a way to key the bodies of what is cached, and something to key."""
    bodied = [method for method in route.methods if method in BODIED_METHODS]
    if bodied and route.body is None:
        yield Problem(
            "body", f'is required to cache {bodied[0]}: add body = "raw", or body = "graphql"'
        )
    if route.body is not None and not bodied:
        yield Problem("body", 'has no place without a method that has one: add "POST" to `methods`')


def some_ttl(route: Any) -> Problems:
    """Check that a lifetime can come from somewhere."""
    if route.ttl is None and route.kind is None and route.methods:
        yield Problem(
            "ttl", 'is required: give ttl = "60s", ttl = "response", or a kind that has a ttl'
        )


def some_purpose(route: Any) -> Problems:
    """Check that a route which caches no method says what it changes."""
    if not route.methods and not route.invalidates:
        yield Problem("methods", "expected at least one, or `invalidates`, for a route of writes")


def known_kinds(config: Any) -> Problems:
    """Check that kinds exist and give a lifetime to the routes that need one."""
    for index, route in _with(config.routes, "kind"):
        if route.kind is None:
            continue
        if route.kind not in config.kinds:
            yield Problem(
                f"routes[{index}].kind",
                f"there is no kind {show(route.kind)}: add [kinds.{key(route.kind)}]"
                f"{did_you_mean(route.kind, config.kinds)}",
            )
        elif _gives_no_ttl(route, config.kinds[route.kind]):
            yield Problem(
                f"routes[{index}].ttl",
                f"is required: kind {show(route.kind)} has no ttl, so give one here or there",
            )


def unique_names(config: Any) -> Problems:
    """Check that no two routes have one name."""
    first: dict[str, int] = {}
    for index, route in _with(config.routes, "name"):
        earlier = first.setdefault(route.name, index)
        if earlier != index:
            yield Problem(
                f"routes[{index}].name",
                f"{show(route.name)} is already the name of routes[{earlier}]: give another",
            )


def reachable(config: Any) -> Problems:
    """Check that no route is hidden by an earlier one."""
    listed = RouteTree()
    for index, route in _with(config.routes, "path", "mount"):
        template = parse_template(route.path)
        earlier = listed.cover(template, route.mount)
        if earlier is not None:
            yield Problem(
                f"routes[{index}].path",
                f"can never match: routes[{earlier}] ({config.routes[earlier].path}) "
                "comes first and takes all its requests",
            )
        listed.add(index, template, route.mount)


def flagged_routes(config: Any) -> Problems:
    """Check that the routes that flags name exist."""
    if any(not hasattr(route, "name") for route in config.routes):
        return  # The missing name may be the one that is flagged.
    known = [route.name for route in config.routes]
    for name in config.route_flags:
        if name not in known:
            yield Problem(
                f"route_flags.{key(name)}",
                f"no route is named {show(name)}{did_you_mean(name, known)}",
            )


def sound_dependencies(config: Any) -> Problems:
    """Check that nothing depends on itself, and that parameters can come from somewhere."""
    listed = config.dependencies.items()
    graph = {name: [each for each in sources or () if each] for name, sources in listed}
    for name, sources in graph.items():
        known = {parameter for each in sources for parameter in Pattern(each).parameters}
        for parameter in Pattern(name).parameters:
            if parameter not in known:
                yield Problem(
                    f"dependencies.{key(name)}",
                    f"nothing it is built from has a parameter {{{parameter}}}"
                    f"{did_you_mean(parameter, known)}; for all of them end it with a star",
                )
    if cycle := find_cycle(graph):
        yield Problem(
            f"dependencies.{key(cycle[0])}",
            f"depends on itself: {' <- '.join(show(each) for each in cycle)}",
        )


def _gives_no_ttl(route: Any, kind: Any) -> bool:
    if not hasattr(route, "ttl") or not hasattr(kind, "ttl"):
        return False
    return route.ttl is None and kind.ttl is None and bool(getattr(route, "methods", True))


def _with(routes: Any, *names: str) -> Iterator[tuple[int, Any]]:
    return (
        (index, route)
        for index, route in enumerate(routes)
        if all(hasattr(route, name) for name in names)
    )
