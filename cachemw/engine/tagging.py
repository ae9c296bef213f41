"""The tags of an answer: the route's, the response fields', and those of what was read for it."""

from __future__ import annotations

import re

from cachemw.engine.decisions import Fetch
from cachemw.engine.engine import Engine
from cachemw.engine.screen import normalised_host
from cachemw.engine.tags import TagError, group_tag, user_tag, with_families
from cachemw.http.fields import Fields
from cachemw.http.groups import groups
from cachemw.http.messages import Head

__all__ = ["field_tags", "tags_of", "without_tag_fields"]

_DIVIDERS = re.compile(r"[,\s]+")
"""Cache-Tag has commas between its tags, Surrogate-Key has spaces, and no tag has either."""


def field_tags(engine: Engine, head: Head) -> tuple[str, ...]:
    """Give the tags that a response's fields name; what cannot be one is counted and left out."""
    names = engine.settings.tag_fields
    if names.isdisjoint(head.headers.names):
        return ()
    tags: list[str] = []
    for name, value in head.headers.pairs:
        if name in names:
            for tag in filter(None, _DIVIDERS.split(value.decode("utf-8", "surrogateescape"))):
                try:
                    tags.append(user_tag(tag))
                except TagError:
                    engine.count("bad_tags", "")
    return tuple(tags)


def without_tag_fields(engine: Engine, head: Head) -> Head:
    """Take the fields that hold tags off a response: they are for the cache, not for the client."""
    names = engine.settings.tag_fields
    if engine.settings.keeps_tag_fields or names.isdisjoint(head.headers.names):
        return head
    return Head(status=head.status, headers=head.headers.without(names))


def tags_of(fetch: Fetch, headers: Fields, given: tuple[str, ...]) -> tuple[str, ...]:
    """Give all tags of an answer that is to be kept, and end the recording; `given` by its fields."""
    own = given + fetch.recorded()
    if b"cache-groups" in headers:
        host = normalised_host(fetch.ask.request).decode("ascii")
        own += tuple(group_tag(host, group) for group in groups(headers))
    tags = fetch.ask.plan.tags
    return with_families(tags + own) if own else tags
