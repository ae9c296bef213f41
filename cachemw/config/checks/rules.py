"""The rules about several options. Each yields the problems that it finds, with paths relative to its table.

If a document has other mistakes, some options of a route may be missing. A rule skips such routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cachemw.config.checks.unreachable import RouteTree
from cachemw.config.syntax.decode import Settings
from cachemw.config.syntax.dependencies import Pattern, find_cycle
from cachemw.config.syntax.messages import did_you_mean, key, show
from cachemw.config.syntax.template import TagPlaceholder, parse_tag, parse_template
from cachemw.config.syntax.values import BODIED_METHODS
from cachemw.errors import Problem

__all__ = [
    "KEYED",
    "body_of_methods",
    "flagged_routes",
    "functions_once",
    "heuristic_of_response",
    "initial_in_bounds",
    "known_kinds",
    "one_answer_for_users",
    "one_query_rule",
    "ordered_bounds",
    "persisted_of_graphql",
    "planned_size",
    "reachable",
    "some_purpose",
    "some_ttl",
    "sound_dependencies",
    "tag_parameters",
    "unique_names",
]

Problems = Iterator[Problem]

KEYED = ("path", "query", "ignore_query", "vary")
"""The options of a route that say what of a request a tag may hold."""


def planned_size(memory: Any) -> Problems:
    """Check that the planned memory fits into the maximum."""
    if memory.planned_size is None or memory.max_size is None:
        return
    if memory.planned_size > memory.max_size:
        yield Problem(
            "planned_size",
            f"{memory.planned_size} bytes are more than max_size ({memory.max_size}): raise max_size",
        )


def functions_once(recording: Any) -> Problems:
    """Check that no function is said both to read tables and to read none."""
    for number, name in enumerate(recording.pure_functions):
        if isinstance(name, str) and name in recording.reading_functions:
            yield Problem(
                f"pure_functions[{number}]",
                f"{show(name)} is in `reading_functions` too: leave it out of one of them",
            )


def ordered_bounds(ttl: Any) -> Problems:
    """Check that the shortest lifetime is not longer than the longest."""
    if ttl.min is not None and ttl.max is not None and ttl.min > ttl.max:
        yield Problem("max", f"{ttl.max:g} s are less than min ({ttl.min:g} s): raise max")


def initial_in_bounds(ttl: Any) -> Problems:
    """Check that the initial lifetime is inside the bounds."""
    if None in (ttl.min, ttl.max, ttl.initial) or ttl.min > ttl.max:
        return
    if not ttl.min <= ttl.initial <= ttl.max:
        yield Problem(
            "initial",
            f"{ttl.initial:g} s are outside of min ({ttl.min:g} s) and max ({ttl.max:g} s)",
        )


def one_query_rule(route: Any) -> Problems:
    """Check that a route has `query` or `ignore_query`, not both."""
    if route.query is not None and route.ignore_query:
        yield Problem(
            "ignore_query", "cannot be used with `query`, which removes all others: leave it out"
        )


def one_answer_for_users(route: Any) -> Problems:
    """Check that a route does not say both that users get the same and that they do not."""
    if route.same_for_all_users and route.identity is not None:
        yield Problem(
            "same_for_all_users",
            "cannot be used with `identity`, which keeps users apart: leave one of them out",
        )


def tag_parameters(option: str) -> Callable[[Any], Problems]:
    """Return a check that everything in the tags of an option is in the path or in the key.

    What is not in the key may differ between two requests that get the same answer.
    """

    def check(route: Any) -> Problems:
        for index, tag in enumerate(getattr(route, option)):
            for each in parse_tag(tag or ""):
                if isinstance(each, TagPlaceholder) and (message := _unkeyed(route, each)):
                    yield Problem(f"{option}[{index}]", message)

    return check


def _unkeyed(route: Any, placeholder: TagPlaceholder) -> str:
    """Return what is wrong with a placeholder on this route, or an empty text."""
    name, text = placeholder.name, f"{{{placeholder.text}}}"
    if placeholder.source == "path":
        known = parse_template(route.path).parameters
        return (
            "" if name in known else f"the path has no parameter {text}{did_you_mean(name, known)}"
        )
    if placeholder.source == "header":
        # The host is always in the key. None is a name that could not be read.
        if name == "host" or name in route.vary or None in route.vary:
            return ""
        return (
            f"{text} is not in the key: add {show(name)} to `vary`{did_you_mean(name, route.vary)}"
        )
    if route.query is not None and name not in route.query and None not in route.query:
        return f"{text} is not in the key: add {show(name)} to `query`{did_you_mean(name, route.query)}"
    for each in route.ignore_query:
        if each and (name == each or (each.endswith("*") and name.startswith(each[:-1]))):
            return f"{text} is not in the key: {show(each)} in `ignore_query` removes it"
    return ""


def heuristic_of_response(route: Any) -> Problems:
    """Check that `heuristic` is used only with ttl = "response"."""
    if route.heuristic is not None and route.ttl not in ("response", None):
        yield Problem("heuristic", 'works only with ttl = "response": write that, or leave it out')


def body_of_methods(route: Any) -> Problems:
    """Check that `body` is given if and only if a method with a body is cached."""
    bodied = [method for method in route.methods if method in BODIED_METHODS]
    if bodied and route.body is None:
        yield Problem(
            "body", f'is required to cache {bodied[0]}: add body = "raw", or body = "graphql"'
        )
    if route.body is not None and not bodied:
        yield Problem("body", 'works only with a method that has a body: add "POST" to `methods`')


def persisted_of_graphql(route: Any) -> Problems:
    """Check that `persisted_queries` is used only with body = "graphql"."""
    if route.persisted_queries is not None and route.body != "graphql":
        yield Problem(
            "persisted_queries", 'works only with body = "graphql": write that, or leave it out'
        )


def some_ttl(route: Any) -> Problems:
    """Check that a cached route has a `ttl` or a `kind`."""
    if route.ttl is None and route.kind is None and route.methods:
        yield Problem(
            "ttl", 'is required: give ttl = "60s", ttl = "response", or a kind that has a ttl'
        )


def some_purpose(route: Any) -> Problems:
    """Check that a route without methods has `invalidates`."""
    if not route.methods and not route.invalidates:
        yield Problem(
            "methods", "expected at least one method, or `invalidates` for a route that only purges"
        )


def known_kinds(config: Any) -> Problems:
    """Check that each route's kind exists, and has a `ttl` if the route needs one."""
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
                f"is required: kind {show(route.kind)} has no ttl, so write one here or in the kind",
            )
    named = {getattr(route, "kind", None) for route in config.routes}
    for name, kind in config.kinds.items():
        # Its routes may be among those that could not be read.
        if (
            isinstance(getattr(kind, "ttl", None), Settings)
            and name not in named
            and None not in config.routes
        ):
            yield Problem(
                f"kinds.{key(name)}",
                f"no route is of this kind, so nothing is learned: write kind = {show(name)} in a route",
            )


def unique_names(config: Any) -> Problems:
    """Check that no two routes have the same name."""
    first: dict[str, int] = {}
    for index, route in _with(config.routes, "name"):
        earlier = first.setdefault(route.name, index)
        if earlier != index:
            yield Problem(
                f"routes[{index}].name",
                f"{show(route.name)} is already the name of routes[{earlier}]: write another",
            )


def reachable(config: Any) -> Problems:
    """Check that no earlier route matches every request of a route."""
    listed = RouteTree()
    for index, route in _with(config.routes, "path", "mount"):
        template = parse_template(route.path)
        earlier = listed.cover(template, route.mount)
        if earlier is not None:
            yield Problem(
                f"routes[{index}].path",
                f"can never match: routes[{earlier}] ({config.routes[earlier].path}) "
                "comes first and matches all its requests",
            )
        listed.add(index, template, route.mount)


def flagged_routes(config: Any) -> Problems:
    """Check that every route in `route_flags` exists."""
    if any(not hasattr(route, "name") for route in config.routes):
        return  # The unreadable name may be the one in `route_flags`.
    known = [route.name for route in config.routes]
    for name in config.route_flags:
        if name not in known:
            yield Problem(
                f"route_flags.{key(name)}",
                f"no route is named {show(name)}{did_you_mean(name, known)}",
            )


def sound_dependencies(config: Any) -> Problems:
    """Check that no tag depends on itself, and that its parameters occur in what it depends on."""
    listed = config.dependencies.items()
    graph = {name: [each for each in sources or () if each] for name, sources in listed}
    for name, sources in graph.items():
        known = {parameter for each in sources for parameter in Pattern(each).parameters}
        for parameter in Pattern(name).parameters:
            if parameter not in known:
                yield Problem(
                    f"dependencies.{key(name)}",
                    f"no tag on the right has the parameter {{{parameter}}}"
                    f"{did_you_mean(parameter, known)}; to purge all of them, write a star instead",
                )
    if cycle := find_cycle(graph):
        yield Problem(
            f"dependencies.{key(cycle[0])}",
            f"depends on itself, so remove one of these: {' <- '.join(show(each) for each in cycle)}",
        )


def _gives_no_ttl(route: Any, kind: Any) -> bool:
    if not hasattr(route, "ttl") or not hasattr(kind, "ttl"):
        return False
    return route.ttl is None and kind.ttl is None and bool(getattr(route, "methods", True))


def _with(routes: Any, *names: str) -> Iterator[tuple[int, Any]]:
    """Return the routes, with their indices, that have all of these options."""
    return (
        (index, route)
        for index, route in enumerate(routes)
        if all(hasattr(route, name) for name in names)
    )
