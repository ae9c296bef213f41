"""URLs to purge: from a URL to the tags of the entries that were stored for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import unquote_to_bytes, urlsplit

from cachemw.engine.core.engine import Engine
from cachemw.engine.model.tags import purged_tag, route_tag, url_tags
from cachemw.engine.privacy.bypass import normalised_host
from cachemw.errors import TagError
from cachemw.http.messages import Request

__all__ = [
    "named_tags",
    "paths_of",
    "purged_tags",
    "tags_of_listed_url",
    "tags_of_target",
    "tags_of_url",
]

MAX_MOUNT = 32
"""Path segments. No application is mounted deeper, and each one costs a match of a client's path (I4)."""
_ENDS_OF_MOUNTS = re.compile(r"/|(?<!/)\Z")
"""Where a mount may end: before a slash, or at the end, for the root of the mount."""


def purged_tags(
    engine: Engine, *, tags: Iterable[str], urls: Iterable[str], routes: Iterable[str]
) -> tuple[str, ...]:
    """Return the tags of everything that a purge names, as entries carry them.

    Raises what `named_tags` raises.
    """
    return engine.row_tags.conceal(named_tags(engine, tags=tags, urls=urls, routes=routes))


def named_tags(
    engine: Engine, *, tags: Iterable[str], urls: Iterable[str], routes: Iterable[str]
) -> tuple[str, ...]:
    """Return the tags of everything that a purge names, each once.

    Raise TagError for a tag or a URL that is invalid, ValueError for a route that is not configured,
    TypeError for a text in place of a list of texts.
    """
    for name, given in (("tags", tags), ("urls", urls), ("routes", routes)):
        if isinstance(given, str):
            raise TypeError(f"{name} is a list of texts, got the text {given!r}")
    known = {route.name for route in engine.routes}
    wanted = [purged_tag(tag) for tag in tags]
    for route in routes:
        if route not in known:
            raise ValueError(f"no route is named {route!r}")
        wanted.append(route_tag(route))
    for url in urls:
        wanted += tags_of_url(engine, url)
    return tuple(dict.fromkeys(wanted))


def paths_of(request: Request) -> tuple[str, ...]:
    """Return the decoded paths by which a purge may name what a request asks for; mostly one.

    - the path below the mount with the mount before it, which is what the application takes it for;
    - the mount alone, for its root: `/shop` is `/shop/` to most applications;
    - the path as the server got it. Something in front may have taken the mount off, or the server may
      have changed the path for the application.
    """
    if not request.path.startswith("/"):
        return ()
    paths = [request.mount + request.path]
    if request.mount and request.path == "/":
        paths.append(request.mount)
    if request.raw_path.startswith(b"/") and (wired := _decoded(request.raw_path)) not in paths:
        paths.append(wired)
    return tuple(paths)


def _decoded(path: bytes) -> str:
    plain = unquote_to_bytes(path) if b"%" in path else path
    return plain.decode("utf-8", "surrogateescape")


def tags_of_listed_url(engine: Engine, url: str) -> list[str]:
    """Return the tags of a URL as `tags_of_url` does; none if no route matches it."""
    return tags_of_target(engine, *_target(url))


def tags_of_target(engine: Engine, host: str, path: str, query: bytes) -> list[str]:
    """Return the tags of what a request names; none if no route matches it.

    `host` is normalised. The path (mount included) is decoded, the query is as it came.
    """
    read = _queries(engine, path, query)
    return _tags(host, path, {query, *read}) if read else []


def tags_of_url(engine: Engine, url: str) -> list[str]:
    """Return the tags of a URL: `/products/1?page=2` on every host, `https://shop.example/...` on one.

    The query counts in every form in which a matching route would read it, below any mount: whoever
    purges need not know where the application is mounted. Raise TagError for an invalid URL.
    """
    host, path, query = _target(url)
    return _tags(host, path, {query, *_queries(engine, path, query)})


def _target(url: str) -> tuple[str, str, bytes]:
    """Return host (empty if there is none), decoded path and query of a URL."""
    try:
        url.encode("utf-8", "surrogateescape")  # bytes that are not UTF-8 come as half surrogates
        parts = urlsplit(url)
    except ValueError as error:  # for example brackets without an address in them
        raise TagError(f"{url!r}: {error}") from None
    if not parts.path.startswith("/"):
        raise TagError(f"{url!r}: a URL to purge is a path (/products/1) or http(s)://host/path")
    if parts.scheme not in ("", "http", "https"):
        raise TagError(f"{url!r}: only http and https are cached")
    host = normalised_host(_ascii(parts.netloc.rpartition("@")[2]))
    path, query = (text.encode("utf-8", "surrogateescape") for text in (parts.path, parts.query))
    return host, _decoded(path), query


def _ascii(host: str) -> str:
    """Return a host as clients send it, also if it is written in other letters (RFC 5890)."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise TagError(f"{host!r} is no host: {error}") from None


def _tags(host: str, path: str, queries: set[bytes]) -> list[str]:
    """Return the URL tags for each of these queries."""
    tags = []
    for each in queries:
        any_host, this_host = url_tags(host, path, each)
        tags.append(this_host if host else any_host)
    return tags


def _queries(engine: Engine, path: str, query: bytes) -> set[bytes]:
    """Return the query as it is read by each route that matches below some mount."""
    return {engine.routes[index].read_query(query) for index in _matching(engine, path)}


def _matching(engine: Engine, path: str) -> Iterator[int]:
    """Yield the index of each route that matches a path below some mount."""
    for end in islice(_ENDS_OF_MOUNTS.finditer(path), MAX_MOUNT + 1):
        match = engine.router.match(path[: end.start()], path[end.start() :] or "/")
        if match is not None:
            yield match[0]


def is_on_a_route(engine: Engine, url: str) -> bool:
    """Tell whether a route matches a URL, below any mount. Raise TagError for an invalid URL."""
    return any(True for _ in _matching(engine, _target(url)[1]))
