"""The rules about a route's lists of cookies: `cookies`, `ignore_cookies`, `personal_cookies` and others.

What is in the key cannot be removed, and what makes a request bypass the cache is in no key. The cookies
of analytics that are removed by default are no list of the user's, so a name in another list wins over them.
A cookie that a stored answer leaves out must be nobody's session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from cachemw.config.syntax.cookie_names import compile_patterns, spellings
from cachemw.config.syntax.messages import show
from cachemw.errors import Problem

__all__ = [
    "CookieLists",
    "lists_of",
    "lists_of_site",
    "must_be_set",
    "none_of_a_session",
    "none_of_one_client",
    "not_listed",
    "one_way_to_know",
    "own_lists",
]

Problems = Iterator[Problem]


class CookieLists(NamedTuple):
    """The lists of one route, or of the top level."""

    ignored: tuple[str, ...]
    personal: tuple[str, ...] | None
    """None: left out, so that a framework's default applies."""
    dropped: tuple[str, ...]


def lists_of(route: Any, site: CookieLists) -> CookieLists:
    """Return the lists that apply to a route: its own, or those of the top level."""
    # A route with `identity` says itself who is asking.
    personal = () if route.identity is not None else site.personal
    return CookieLists(
        site.ignored if route.ignore_cookies is None else route.ignore_cookies,
        personal if route.personal_cookies is None else route.personal_cookies,
        site.dropped if route.drop_set_cookie is None else route.drop_set_cookie,
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
    yield from _dropped_and_personal("drop_set_cookie", route.drop_set_cookie or (), personal)


def lists_of_site(config: Any) -> Problems:
    """Check that no cookie is in two lists of which at least one is the top level's."""
    site = CookieLists(config.ignore_cookies, config.personal_cookies, config.drop_set_cookie)
    yield from _ignored_and_personal("", site.ignored, site.personal or ())
    yield from _dropped_and_personal("drop_set_cookie", site.dropped, site.personal or ())
    for index, route in enumerate(config.routes):
        if all(hasattr(route, name) for name in _LISTS):
            yield from _of_route_and_site(f"routes[{index}].", route, site)


def _of_route_and_site(at: str, route: Any, site: CookieLists) -> Problems:
    ignored, personal, dropped = lists_of(route, site)
    personal = personal or ()
    own_ignored, own_personal = route.ignore_cookies, route.personal_cookies
    yield from _keyed_and_not(
        at,
        route,
        ignored if own_ignored is None else (),
        personal if own_personal is None else (),
    )
    if (own_ignored is None) != (own_personal is None):
        yield from _ignored_and_personal(at, ignored, personal, own=own_personal is not None)
    if (route.drop_set_cookie is None) != (own_personal is None):
        own = "personal_cookies" if route.drop_set_cookie is None else "drop_set_cookie"
        yield from _dropped_and_personal(f"{at}{own}", dropped, personal)


_LISTS = ("cookies", "ignore_cookies", "personal_cookies", "drop_set_cookie", "identity")


def _keyed_and_not(
    at: str, route: Any, ignored: tuple[str, ...], personal: tuple[str, ...]
) -> Problems:
    """Yield a problem for each cookie in the key that another list names."""
    for index, name in enumerate(route.cookies or ()):
        for option, patterns, reason in (
            ("personal_cookies", personal, "a request with it bypasses the cache"),
            ("ignore_cookies", ignored, "it is removed"),
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
        if (pattern := _match(name, ignored)) is not None:
            yield Problem(
                f"{at}personal_cookies[{index}]" if own else f"{at}ignore_cookies",
                f"{show(name)} says who is asking, and {show(pattern)} in `ignore_cookies` covers it:"
                " make that pattern narrower",
            )


def _dropped_and_personal(at: str, dropped: tuple[str, ...], personal: tuple[str, ...]) -> Problems:
    """Yield a problem for each personal cookie that a stored answer would leave out."""
    for name in dropped:
        if (pattern := _match(name, personal)) is not None:
            yield Problem(
                at,
                f"{show(name)} says who is asking (by {show(pattern)} in `personal_cookies`), so an answer"
                " that sets it is for one client: take it out of one of the lists",
            )


# Django, Flask, Starlette, Express, PHP, Java, ASP.NET, Laravel, Rails, Tornado, Angular, Devise.
_KNOWN: Final = frozenset(
    {
        *("auth", "authorization", "connect.sid", "identity", "jwt", "login", "messages"),
        *("remember_me", "remember_user", "sid", "ssid", "user", "user_id", "userid"),
    }
)
_PARTS: Final = re.compile(
    r"(?<![a-z])(?:asp|j|php)?sess|csrf|xsrf|token|passw|aspxauth|aspnetcore|remember_|logged_in|oauth"
)
"""What the name of a session, of a token and of a remembered log-in has in it, in small letters."""


def must_be_set(name: str) -> bool:
    """Tell whether a cookie of this name is probably a session, a token, or who is logged in."""
    for spelling in spellings(name):
        plain = spelling.lower().removeprefix("__host-").removeprefix("__secure-")
        if plain in _KNOWN or _PARTS.search(plain):
            return True
    return False


def none_of_a_session(table: Any) -> Problems:
    """Check that no cookie in `drop_set_cookie` is that of a session, or a token."""
    for index, name in enumerate(table.drop_set_cookie or ()):
        if name is not None and must_be_set(name):
            yield Problem(
                f"drop_set_cookie[{index}]",
                f"{show(name)} is a session, a token or a log-in by its name: an answer that sets it is made"
                " for one client and must not be kept; take it out of the list",
            )


def none_of_one_client(config: Any, names: frozenset[str]) -> Problems:
    """Check that no list of `drop_set_cookie` has one of these names, which a framework uses."""
    lists = [("", config.drop_set_cookie)]
    lists += [
        (f"routes[{index}].", route.drop_set_cookie)
        for index, route in enumerate(config.routes)
        if route.drop_set_cookie != config.drop_set_cookie
    ]
    for at, dropped in lists:
        for index, name in enumerate(dropped):
            if not names.isdisjoint(spellings(name)):
                yield Problem(
                    f"{at}drop_set_cookie[{index}]",
                    f"{show(name)} is a cookie that the framework sets for one client: an answer that sets it"
                    " must not be kept; take it out of the list",
                )


def not_listed(route: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return these names without those that a route ignores or has in its key."""
    listed = (*route.ignore_cookies, *route.keyed_cookies)
    return tuple(name for name in names if _match(name, listed) is None)


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
