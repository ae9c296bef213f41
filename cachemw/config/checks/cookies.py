"""The rules about a route's lists of cookies: `cookies`, `ignore_cookies` and `personal_cookies`.

Each cookie must be in one list: what is in the key cannot be removed, and what makes a request bypass the
cache is in no key. The analytics cookies that are ignored by default are no list of the user's, so a name
in another list wins over them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cachemw.config.syntax.cookie_names import ANALYTICS, compile_patterns, spellings
from cachemw.config.syntax.messages import show
from cachemw.errors import Problem

__all__ = ["lists_of", "lists_of_site", "one_way_to_know", "own_lists"]

Problems = Iterator[Problem]
Lists = tuple[tuple[str, ...], tuple[str, ...]]


def lists_of(route: Any, ignored: tuple[str, ...], personal: tuple[str, ...]) -> Lists:
    """Return the lists that apply to a route: its own, or those of the top level."""
    if route.identity is not None:  # it says itself who is asking
        personal = ()
    return (
        ignored if route.ignore_cookies is None else route.ignore_cookies,
        personal if route.personal_cookies is None else route.personal_cookies,
    )


def one_way_to_know(route: Any) -> Problems:
    """Check that a route has `identity` or `personal_cookies`, not both."""
    if route.identity is not None and route.personal_cookies:
        yield Problem(
            "personal_cookies",
            "cannot be used with `identity`, which says who is asking: leave one of them out",
        )


def own_lists(route: Any) -> Problems:
    """Check that no cookie is in two of a route's own lists."""
    ignored, personal = route.ignore_cookies or (), route.personal_cookies or ()
    yield from _keyed_and_not("", route, ignored, personal)
    yield from _ignored_and_personal("", ignored, personal)


def lists_of_site(config: Any) -> Problems:
    """Check that no cookie is in two lists of which at least one is the top level's."""
    yield from _ignored_and_personal("", config.ignore_cookies, config.personal_cookies)
    for index, route in enumerate(config.routes):
        if not all(hasattr(route, name) for name in _LISTS):
            continue
        at, (own_ignored, own_personal) = (
            f"routes[{index}].",
            (route.ignore_cookies, route.personal_cookies),
        )
        ignored, personal = lists_of(route, config.ignore_cookies, config.personal_cookies)
        yield from _keyed_and_not(
            at,
            route,
            ignored if own_ignored is None else (),
            personal if own_personal is None else (),
        )
        if (own_ignored is None) != (own_personal is None):
            yield from _ignored_and_personal(at, ignored, personal, own=own_personal is not None)


_LISTS = ("cookies", "ignore_cookies", "personal_cookies", "identity")


def _keyed_and_not(
    at: str, route: Any, ignored: tuple[str, ...], personal: tuple[str, ...]
) -> Problems:
    """Yield a problem for each cookie in the key that another list names."""
    for index, name in enumerate(route.cookies or ()):
        for option, patterns, reason in (
            ("personal_cookies", personal, "a request with it bypasses the cache"),
            ("ignore_cookies", _chosen(ignored), "it is removed"),
        ):
            if (pattern := _match(name, patterns)) is not None:
                yield Problem(
                    f"{at}cookies[{index}]",
                    f"{show(name)} cannot be in the key: by {show(pattern)} in `{option}` {reason};"
                    " take it out of one of the lists",
                )


def _ignored_and_personal(
    at: str, ignored: tuple[str, ...], personal: tuple[str, ...], *, own: bool = True
) -> Problems:
    """Yield a problem for each personal cookie that is ignored too; `own`: the list at `at` has it."""
    for index, name in enumerate(personal):
        if (pattern := _match(name, _chosen(ignored))) is not None:
            yield Problem(
                f"{at}personal_cookies[{index}]" if own else f"{at}ignore_cookies",
                f"{show(name)} says who is asking, and {show(pattern)} in `ignore_cookies` covers it:"
                " make that pattern narrower",
            )


def _chosen(ignored: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ignored cookies, if the user has chosen them."""
    return () if ignored == ANALYTICS else ignored


def _match(name: str | None, patterns: tuple[str, ...]) -> str | None:
    """Return the first pattern that covers a name, or every name of another pattern.

    What could not be read is None, in either place.
    """
    for pattern in patterns:
        if name is None or pattern is None:
            continue
        if any(map(compile_patterns([pattern]).fullmatch, spellings(name))):
            return pattern
    return None
