"""From a URL that somebody wants purged to the tags of the entries made for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from urllib.parse import unquote_to_bytes, urlsplit

from cachemw.engine.core.engine import Engine
from cachemw.engine.model.bypass import DEFAULT_PORTS
from cachemw.engine.model.tags import purged_tag, route_tag, url_tags
from cachemw.errors import TagError

__all__ = ["purged_tags", "tags_of_listed_url", "tags_of_target", "tags_of_url"]

MAX_MOUNT = 32
"""Segments. No application is mounted deeper, and each more is a walk over a path of a client's choice."""
_SLASH = re.compile("/")


def purged_tags(
    engine: Engine, *, tags: Iterable[str], urls: Iterable[str], routes: Iterable[str]
) -> tuple[str, ...]:
    """Give the tags of all that somebody wants purged, each once.

    Raises TagError for a tag or a URL that cannot be one, ValueError for a route that is not listed
    and TypeError for a text where a list of texts belongs.
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


def tags_of_listed_url(engine: Engine, url: str) -> list[str]:
    """Give the tags of a URL as `tags_of_url` does, none where no route is listed for it."""
    return tags_of_target(engine, *_target(url))


def tags_of_target(engine: Engine, host: str, path: bytes, query: bytes) -> list[str]:
    """Give the tags of what a request names, none where no route is listed for it.

    `host` is a normalised one, the path (mount included) and the query are as they came.
    """
    read = _queries(engine, path, query)
    return _tags(host, path, {query, *read}) if read else []


def tags_of_url(engine: Engine, url: str) -> list[str]:
    """Give the tags of a URL, `/products/1?page=2` on every host or `https://shop.example/...` on one.

    Every query string that a matching route would read out of it counts: the purger need not know
    where the application is mounted. Raises TagError for what is no URL of ours.
    """
    host, path, query = _target(url)
    return _tags(host, path, {query, *_queries(engine, path, query)})


def _target(url: str) -> tuple[str, bytes, bytes]:
    """Give host, empty where it has none, path and query of a URL."""
    try:
        url.encode("utf-8", "surrogateescape")  # bytes that are no UTF-8 come as half surrogates
        parts = urlsplit(url)
    except ValueError as error:  # brackets that are no address, half of a surrogate pair
        raise TagError(f"{url!r}: {error}") from None
    if not parts.path.startswith("/"):
        raise TagError(f"{url!r}: a URL to purge is a path (/products/1) or http(s)://host/path")
    if parts.scheme not in ("", "http", "https"):
        raise TagError(f"{url!r}: only http and https are cached")
    host = parts.netloc.rpartition("@")[2].lower()
    host = host.removesuffix(DEFAULT_PORTS.get(parts.scheme, b"\n").decode("ascii"))
    path, query = (text.encode("utf-8", "surrogateescape") for text in (parts.path, parts.query))
    return host, path, query


def _tags(host: str, path: bytes, queries: set[bytes]) -> list[str]:
    tags = []
    for each in queries:
        anywhere, here = url_tags(host, path, each)
        tags.append(here if host else anywhere)
    return tags


def _queries(engine: Engine, path: bytes, query: bytes) -> set[bytes]:
    """Give the query as every route reads it that matches below some mount."""
    queries = set()
    decoded = unquote_to_bytes(path).decode("utf-8", "surrogateescape")
    for slash in islice(_SLASH.finditer(decoded), MAX_MOUNT + 1):
        mount, below = decoded[: slash.start()], decoded[slash.start() :]
        match = engine.router.match(mount, below)
        if match is not None:
            queries.add(engine.routes[match[0]].read_query(query))
    return queries
