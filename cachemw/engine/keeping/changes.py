"""Invalidation by unsafe requests: what becomes invalid when one succeeds (RFC 9111 §4.4, RFC 9875 §3)."""

from __future__ import annotations

from urllib.parse import quote

from cachemw.engine.core.engine import Engine
from cachemw.engine.model.router import Match
from cachemw.engine.model.tags import family_of, group_tag, static_families
from cachemw.engine.privacy.bypass import host_of, is_host, normalised_host
from cachemw.engine.request.tag_values import request_tags
from cachemw.engine.request.urls import paths_of, tags_of_listed_url, tags_of_target
from cachemw.errors import TagError
from cachemw.http.groups import invalidated_groups
from cachemw.http.invalidation import invalidates, targets
from cachemw.http.messages import Head, Request

__all__ = ["invalid_tags"]

_FAMILY = ":*"
_MAX_TAGS = 1000
"""Tags that one template makes of an unsafe request (I4)."""


def invalid_tags(engine: Engine, request: Request, head: Head) -> tuple[str, ...]:
    """Return the tags to purge after this response; none if nothing is cached there."""
    match = engine.router.match(request.mount, request.path)
    route = None if match is None else engine.routes[match[0]]
    redirects = route is not None and route.invalidates_on_redirect
    if not invalidates(request.method, head.status, redirects=redirects) or not is_host(request):
        return ()
    host = host_of(request).decode("ascii")
    name = normalised_host(host)
    tags = [] if match is None else _declared(engine, match, request)
    # What a query language changes is below the path, whatever the query.
    query = b"" if route is not None and route.language is not None else request.query
    tags += [group_tag(name, group) for group in invalidated_groups(head.headers)]
    for path in paths_of(request):
        tags += tags_of_target(engine, name, path, query)
        # What ends TLS in front of the server hides the scheme, and the tags have none.
        for scheme in ("http", "https"):
            base = f"{scheme}://{host}{quote(path, errors='surrogateescape')}"
            tags += _named(engine, targets(head.headers, base))
    return tuple(dict.fromkeys(tags))


def _declared(engine: Engine, match: Match, request: Request) -> list[str]:
    """Return the tags that the route's `invalidates` option names for this request."""
    index, params = match
    tags: list[str] = []
    for template in engine.routes[index].invalidates:
        # Only the template may name a family. A value comes from the client, and must not purge one.
        kind = template.removesuffix(_FAMILY)
        made = request_tags([kind], params, request.query, request.headers, _MAX_TAGS)
        if made is None:  # I5: rather too much is purged than too little
            engine.count("bad_tags", "")
            tags += static_families([template])
        else:
            tags += made if kind == template else map(family_of, made)
    return tags


def _named(engine: Engine, urls: list[str]) -> list[str]:
    """Return the tags of the URLs that the response names (Location, Content-Location)."""
    tags: list[str] = []
    for url in urls:
        try:
            tags += tags_of_listed_url(engine, url)
        except TagError:  # no route can have such a URL
            continue
    return tags
