"""The tags of a response: of its route, of its headers, and of what the application read for it."""

from __future__ import annotations

import re

from cachemw.engine.core.engine import Engine
from cachemw.engine.model.tags import group_tag, user_tag, with_families
from cachemw.engine.privacy.bypass import host_of, normalised_host
from cachemw.engine.privacy.cookie_reads import tags_of_reads
from cachemw.engine.request.decisions import Fetch
from cachemw.errors import TagError
from cachemw.http.fields import Fields
from cachemw.http.groups import groups
from cachemw.http.messages import Head

__all__ = ["is_overtaken", "tags_of", "take_tags"]

_DIVIDERS = re.compile(r"[,\s]+")
"""Cache-Tag puts commas between tags, Surrogate-Key puts spaces; no tag has either in it."""


def take_tags(engine: Engine, head: Head) -> tuple[Head, tuple[str, ...]]:
    """Remove the headers that hold tags from a response; return its head and the tags.

    Clients do not need these headers, unless the settings keep them. What cannot be a tag is counted
    and left out.
    """
    names = engine.settings.tag_fields
    tags: list[str] = []
    for name, value in head.headers.pairs:
        if name in names:
            for tag in filter(None, _DIVIDERS.split(value.decode("utf-8", "surrogateescape"))):
                try:
                    tags.append(user_tag(tag))
                except TagError:
                    engine.count("bad_tags", "")
    if not engine.settings.keeps_tag_fields:
        head = Head(status=head.status, headers=head.headers.without(names))
    return head, tuple(tags)


def is_overtaken(engine: Engine, fetch: Fetch, given: tuple[str, ...]) -> bool:
    """Tell whether a purge has overtaken a response already, before its head is sent."""
    oldest = fetch.recording.oldest(fetch.position)
    purged = fetch.purges != engine.floors.version
    if fetch.purges is None or not (purged or oldest is not fetch.position):
        return False
    tags = engine.row_tags.conceal(fetch.cacheable.plan.tags + given + fetch.recording.so_far())
    return engine.floors.overtakes(oldest, with_families(tags))


def tags_of(
    engine: Engine, fetch: Fetch, headers: Fields, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Return all tags of a response that is being stored, and end its recording.

    `given` are the tags from its headers. What cookies it was made from is learned here, before anybody
    can find its entry.
    """
    own = given + fetch.recording.close()
    if (reads := fetch.recording.cookies_read()) is not None:
        route = fetch.cacheable.route
        engine.learn_cookies(route, reads)
        own += tags_of_reads(route.cookies.unlisted(reads))
    if b"cache-groups" in headers:
        host = normalised_host(host_of(fetch.cacheable.request).decode("ascii"))
        own += tuple(group_tag(host, group) for group in groups(headers))
    tags = fetch.cacheable.plan.tags
    conceal = engine.row_tags.conceal
    return with_families(conceal(tags + own)) if own else conceal(tags)
