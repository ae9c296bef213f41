"""Tags from a request: a route's tag templates, filled with its path, its query and its headers.

The configuration allows only what is in the key (`config.checks.rules.tag_parameters`). The values are read
as the application reads them, so that a purge by the tag that an application would write finds the entry:

- A query parameter is decoded: `+` is a space, and percent-encoded bytes are UTF-8. Of bytes that are not,
  frameworks make U+FFFD or leave them encoded, so such a value has two tags.
- A parameter that comes several times has a tag for each of its values.
- The lines of a header are joined by commas, and its bytes are Latin-1. A host is in lower case, without the
  port of HTTP and HTTPS.
- Without a value there is no tag; with `{query.page?}` the value is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import product
from math import prod
from urllib.parse import unquote_to_bytes

from cachemw.config.syntax.template import TagPlaceholder, parse_tag
from cachemw.engine.model.routes import RouteState
from cachemw.engine.model.tags import ANY, fill, normalise, with_families
from cachemw.engine.privacy.bypass import normalised_host
from cachemw.http.fields import Fields

__all__ = ["MAX_TAGS", "all_families", "header_tags", "request_tags"]

MAX_TAGS = 64
"""Tags that one template makes of a request that may be answered from the cache (I4)."""


def request_tags(
    templates: Iterable[str],
    params: Mapping[str, str],
    query: bytes,
    headers: Fields,
    limit: int = MAX_TAGS,
) -> list[str] | None:
    """Return the tags that templates make of a request; None if one of them makes more than `limit`."""
    tags: list[str] = []
    for template in templates:
        placeholders = _placeholders(template)
        if not placeholders:
            tags.append(normalise(fill(template, params)))
            continue
        choices = [_values(each, query, headers) for each in placeholders]
        if prod(map(len, choices)) > limit:
            return None
        texts = [each.text for each in placeholders]
        for chosen in product(*choices):
            tag = fill(template, {**params, **dict(zip(texts, chosen, strict=True))})
            if tag:
                tags.append(normalise(tag))
    return tags


def all_families(route: RouteState, tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags with their families, and with the families of the route's tags that had no value."""
    return with_families((*tags, *route.static_families))


def header_tags(
    route: RouteState,
    target: Sequence[str],
    params: Mapping[str, str],
    query: bytes,
    headers: Fields,
) -> tuple[str, ...]:
    """Return the tags of a request whose headers are in them; `target` are those without any header."""
    made = request_tags(route.tags, params, query, headers)
    # The route's own tag stands behind those that its templates made without the headers.
    rest = target[target.index(route.own_tag) :]
    return all_families(
        route, (*(made or ()), *(tag for tag in rest if not tag.endswith(f":{ANY}")))
    )


@lru_cache(maxsize=4096)  # templates come from the configuration
def _placeholders(template: str) -> tuple[TagPlaceholder, ...]:
    """Return the placeholders of a template that are not parameters of the path, each once."""
    found = (part for part in parse_tag(template) if isinstance(part, TagPlaceholder))
    return tuple({part.text: part for part in found if part.source != "path"}.values())


def _values(placeholder: TagPlaceholder, query: bytes, headers: Fields) -> list[str]:
    """Return the values of a placeholder in a request, each once."""
    if placeholder.source == "query":
        values = _query_values(placeholder.name, query)
    else:
        values = _header_values(placeholder.name.encode("latin-1"), headers)
    return values or ([""] if placeholder.optional else [])


def _query_values(name: str, query: bytes) -> list[str]:
    found: dict[str, None] = {}
    for piece in query.split(b"&"):
        raw_name, _, raw = piece.partition(b"=")
        if piece and _decoded(raw_name).decode("utf-8", "replace") == name:
            value = _decoded(raw)
            found[value.decode("utf-8", "replace")] = None
            found[value.decode("utf-8", "surrogateescape")] = None  # the same for UTF-8
    return list(found)


def _decoded(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))


def _header_values(name: bytes, headers: Fields) -> list[str]:
    lines = headers.values(name)
    value = b", ".join(line.strip() for line in lines).decode("latin-1")
    if name == b"host":
        value = normalised_host(value)
    return [value] if lines else []
