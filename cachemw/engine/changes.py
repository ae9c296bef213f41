"""What an unsafe request that succeeded makes invalid (RFC 9111 §4.4, RFC 9875 §3)."""

from __future__ import annotations

from cachemw.engine.engine import Engine
from cachemw.engine.screen import is_host, normalised_host
from cachemw.engine.tags import TagError, group_tag
from cachemw.engine.urls import tags_of_listed_url
from cachemw.http.groups import invalidated_groups
from cachemw.http.invalidation import invalidates, targets
from cachemw.http.messages import Head, Request

__all__ = ["invalid_tags"]


def invalid_tags(engine: Engine, request: Request, head: Head) -> tuple[str, ...]:
    """Give the tags of all that is to be purged after this answer; empty when nothing is cached there."""
    if not invalidates(request.method, head.status) or not is_host(request):
        return ()
    host = normalised_host(request).decode("ascii")
    mount = request.mount.encode("utf-8", "surrogateescape")
    target = (mount + request.raw_path + (b"?" + request.query if request.query else b"")).decode(
        "latin-1"
    )
    base = f"{request.scheme}://{host}{target}"
    tags = [group_tag(host, group) for group in invalidated_groups(head.headers)]
    for url in (base, *targets(head.headers, base)):
        try:
            tags += tags_of_listed_url(engine, url)
        except TagError:  # a target that no route could have
            continue
    return tuple(dict.fromkeys(tags))
