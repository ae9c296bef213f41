"""Names: keys, tags, the tags of URLs, routes, and what Cache-Status says."""

from __future__ import annotations

import contextlib
import re
from struct import calcsize, unpack_from
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import http_sf
from msgspec.structs import replace

from cachemw import Cache
from cachemw.config import parse_template
from cachemw.engine.keeping.changes import invalid_tags
from cachemw.engine.model.keys import KeyMaker, decode_parts, encode_parts
from cachemw.engine.model.router import Router
from cachemw.engine.model.tags import (
    MAX_LENGTH,
    family_of,
    fill,
    group_tag,
    normalise,
    purged_tag,
    route_tag,
    url_tags,
    user_tag,
    with_families,
)
from cachemw.engine.privacy.bypass import host_of, normalised_host
from cachemw.engine.request.key_contents import read_key
from cachemw.engine.request.keying import CacheableRequest, classify
from cachemw.engine.request.tag_values import request_tags
from cachemw.engine.request.urls import purged_tags, tags_of_listed_url, tags_of_url
from cachemw.errors import TagError
from cachemw.http.cache_status import CACHE_NAME, forwarded, hit
from cachemw.http.fields import Fields
from cachemw.http.messages import Head, Request

from .inputs import fields, sections, text

__all__ = [
    "fuzz_cache_status",
    "fuzz_changes",
    "fuzz_keys",
    "fuzz_router",
    "fuzz_tag_values",
    "fuzz_tags",
    "fuzz_urls",
]

_KEYS = KeyMaker("fuzz", b"a secret")
_TAG = re.compile(rf"[!-+\--~]{{1,{MAX_LENGTH}}}")
_TEMPLATES = (
    "/",
    "/products/{id:int}",
    "/products/{slug}",
    "/products/{id:uuid}/x",
    "/{year:int}-{name}/{rest:path}",
    "/files/{rest:path}",
    "/files/{a}.{b}",
    "/{a}/{b}/",
)
_ROUTES = [(parse_template(path), "/shop" if path == "/{a}/{b}/" else None) for path in _TEMPLATES]
_ROUTER = Router(_ROUTES)
_ALONE = [Router([route]) for route in _ROUTES]
_ENGINE = Cache.from_dict(
    {
        "routes": [
            {"name": "products", "path": "/products/{id}", "ttl": "60s", "query": ["page"]},
            {"name": "files", "path": "/files/{rest:path}", "ttl": "60s", "query": []},
            {
                "name": "comments",
                "path": "/comments",
                "ttl": "60s",
                "vary": ["X-A"],
                "tags": ["c:{query.u}", "{query.u?}:{header.x-a}", "t:{header.host}"],
            },
        ]
    }
)._core.engine


# Keys ---------------------------------------------------------------------------------------------


def fuzz_keys(data: bytes) -> None:
    """Parts, one a line; `-` is one that is absent."""
    parts = [None if line == b"-" else line for line in data.split(b"\n")]
    assert _decoded(encode_parts(parts)) == parts
    key = _KEYS.make(parts)
    assert _decoded(key.full) == [b"fuzz", *parts]
    extended = _KEYS.extend(key, parts)
    assert _decoded(extended.full) == [key.full, *parts]
    assert extended.digest != key.digest
    assert _KEYS.conceal(data) != data
    assert decode_parts(extended.full) == [key.full, *parts]
    for read in (data, encode_parts(parts)):  # as what lies in the shared store
        with contextlib.suppress(ValueError):
            assert encode_parts(decode_parts(read)) == read
            read_key(read)


def _decoded(encoded: bytes) -> list[bytes | None]:
    """Undo the encoding from its description alone: what can be undone is injective."""
    (count,) = unpack_from(">i", encoded)
    lengths = unpack_from(f">{count}i", encoded, 4)
    start, parts = calcsize(f">{count + 1}i"), []
    for length in lengths:
        parts.append(None if length < 0 else encoded[start : start + length])
        start += max(0, length)
    assert start == len(encoded)
    return parts


# Tags ---------------------------------------------------------------------------------------------


def fuzz_tags(data: bytes) -> None:
    """A tag that somebody wrote, or a value that a path put into one."""
    name = text(data)
    with contextlib.suppress(TagError):
        tag = user_tag(name)
        assert not tag.startswith("@")
        assert user_tag(tag) == tag
        for family in with_families((tag,))[1:]:  # what entries carry is what a purge names
            assert purged_tag(family) == family
            assert tag.startswith(family[:-1])
        assert family_of(tag) in {tag, *with_families((f"{tag}:x",))}
    with contextlib.suppress(TagError):
        assert purged_tag(purged_tag(name)) == purged_tag(name)
    made = [normalise(f"x{name}"), route_tag(name), *url_tags("shop.example", name, data)]
    made += [group_tag("shop.example", name), group_tag("other.example", name)]
    for tag in made:
        assert _TAG.fullmatch(tag)
        assert normalise(tag) == tag
    assert len(set(made[-2:])) == 2
    filled = fill("{a}:{b}", {"a": name, "b": "{a}"})
    assert filled == f"{name}:{{a}}" or (name.startswith("@") and filled == f"%40{name[1:]}:{{a}}")


def fuzz_tag_values(data: bytes) -> None:
    """A header's value, and a query in a line of its own."""
    header, _, query = data.partition(b"\n")
    pairs = [(b"host", b"Shop.Example:443"), (b"x-a", header)]
    request = replace(_to(b"", b"/comments", query), method="GET", headers=Fields(pairs))
    asked = classify(_ENGINE, request, (data,), pairs[1:])
    made = request_tags(["c:{query.u}"], {}, query, request.headers)
    if made is None or not isinstance(asked, CacheableRequest):
        assert query.count(b"&") >= 32  # a value that is no UTF-8 has two tags
        return
    assert {*made, "t:shop.example"} <= set(asked.plan.tags)
    assert all(_TAG.fullmatch(tag) for tag in asked.plan.tags)
    assert sum(tag.startswith("@route:") for tag in asked.plan.tags) == 1
    if query.isascii():
        for errors in ("replace", "surrogateescape"):  # as frameworks read it
            read = parse_qsl(query.decode(), keep_blank_values=True, errors=errors)
            assert {normalise(f"c:{value}") for name, value in read if name == "u"} <= set(made)


def fuzz_urls(data: bytes) -> None:
    """A URL to purge."""
    url = text(data)
    try:
        tags = tags_of_url(_ENGINE, url)
    except TagError:
        return
    assert tags
    assert all(_TAG.fullmatch(tag) and tag.startswith("@") for tag in tags)
    assert set(tags_of_listed_url(_ENGINE, url)) <= set(tags)
    assert set(purged_tags(_ENGINE, tags=(), urls=(url, url), routes=())) == set(tags)


def fuzz_changes(data: bytes) -> None:
    """Host, path and query of an unsafe request, one a line, and the head of its answer."""
    host, path, query, head = (*data.split(b"\n", 3), b"", b"", b"")[:4]
    request = _to(host, path, query)
    found = invalid_tags(_ENGINE, request, Head(status=201, headers=fields(head)))
    own = f"@{normalised_host(host_of(request).decode('latin-1'))}"
    for tag in found:
        assert _TAG.fullmatch(tag)
        assert tag.startswith((f"{own}/", f"@group:{own[1:]}%20")) or len(tag) == MAX_LENGTH
    asked = classify(_ENGINE, replace(request, method="GET"), (data,), None)
    if isinstance(asked, CacheableRequest):
        assert not set(found).isdisjoint(asked.plan.tags)


def _to(host: bytes, path: bytes, query: bytes) -> Request:
    return Request(
        method="POST",
        scheme="https",
        mount="",
        path=text(unquote_to_bytes(path)),
        raw_path=path,
        query=query,
        headers=Fields([(b"host", host)]),
    )


# Routes -------------------------------------------------------------------------------------------


def fuzz_router(data: bytes) -> None:
    """A path as the application sees it, below a mount that some lines name."""
    first, _, rest = data.partition(b"\n")
    mount, path = ("/shop", rest) if first == b"/shop" else ("", data)
    match = _ROUTER.match(mount, text(path))
    alone = [router.match(mount, text(path)) for router in _ALONE]
    listed = [(index, each[1]) for index, each in enumerate(alone) if each is not None]
    assert match == (listed[0] if listed else None)


# Cache-Status -------------------------------------------------------------------------------------


def fuzz_cache_status(data: bytes) -> None:
    """A detail, and a key."""
    detail, key = map(text, sections(data, 2))
    number = len(data) - 100
    said = _read(hit(number, detail, key))
    assert (said["hit"], said["ttl"], set(said)) == (True, number, {"hit", "ttl", "detail", "key"})
    said = _read(forwarded("miss", fwd_status=304, stored=True, ttl=number, key=key, detail=detail))
    assert (str(said["fwd"]), said["stored"], said["fwd-status"]) == ("miss", True, 304)
    if detail.isascii() and detail.isprintable():
        assert str(said.get("detail", "")) == detail


def _read(written: bytes) -> dict[str, object]:
    """Read the one member back, by another implementation."""
    members: Any = http_sf.parse(written, tltype="list")
    ((name, parameters),) = members
    assert str(name) == CACHE_NAME
    return dict(parameters)
