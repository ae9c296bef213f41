"""Tags: the names that purges use, one spelling for each.

A tag is 1 to 256 visible ASCII characters without a comma. Anything else in it is percent-encoded
in the same way wherever a tag is made, so `product:{slug}` on a route and `product:é` in a purge
meet. Where two names share a spelling a purge takes more than it was asked for, never less.

The tags that cachemw gives by itself begin with `@`: `@/products/1?page=2` names a URL on every
host, `@shop.example/products/1` on one, and `@route:products` a route.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote, unquote_to_bytes

from cachemw.errors import CacheError

__all__ = [
    "MAX_LENGTH",
    "TagError",
    "fill",
    "group_tag",
    "normalise",
    "route_tag",
    "url_tags",
    "user_tag",
]

MAX_LENGTH = 256
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != ",")
_RESERVED = "@"
_PLAIN = re.compile(r"[!-+\--~]{1,256}")
_PARAMETER = re.compile(r"\{(\w+)\}")


class TagError(CacheError, ValueError):
    """A tag that cannot be one; the message says why."""


def user_tag(tag: str) -> str:
    """Give the one spelling of a tag that somebody wrote, or raise TagError."""
    if not isinstance(tag, str) or not tag:
        raise TagError(f"a tag is a text of 1 to {MAX_LENGTH} characters, got {tag!r}")
    if tag.startswith(_RESERVED):
        raise TagError(f"{tag!r}: tags that begin with '@' are cachemw's own; use another name")
    try:
        return normalise(tag)
    except UnicodeEncodeError:
        raise TagError(f"{tag!r}: half of a surrogate pair is no character") from None


def normalise(tag: str) -> str:
    """Percent-encode what may not stand in a tag; a tag that is too long becomes its digest."""
    if _PLAIN.fullmatch(tag):
        return tag
    spelt = quote(tag, safe=_SAFE, errors="surrogateescape")
    if len(spelt) <= MAX_LENGTH:
        return spelt
    digest = blake2b(spelt.encode("ascii"), digest_size=16).hexdigest()
    return f"{spelt[: MAX_LENGTH - 33]}~{digest}"


def fill(template: str, params: Mapping[str, str]) -> str:
    """Put a path's parameters into a tag template, in one pass: a value is never a template."""
    return "".join(
        [params.get(name, f"{{{name}}}") if name else text for text, name in _pieces(template)]
    )


@lru_cache(maxsize=4096)  # templates come from the configuration
def _pieces(template: str) -> tuple[tuple[str, str], ...]:
    """Give the template as `(text, "")` and `("", parameter)` in turn."""
    texts = _PARAMETER.split(template)
    return tuple(
        ("", piece) if odd % 2 else (piece, "") for odd, piece in enumerate(texts) if piece
    )


def route_tag(route: str) -> str:
    """Give the tag that every entry of a route carries."""
    return normalise(f"{_RESERVED}route:{route}")


def group_tag(host: str, group: str) -> str:
    """Give the tag of a cache group, which is one of its origin alone (RFC 9875 §2.1)."""
    return normalise(f"{_RESERVED}group:{host} {group}")


def url_tags(host: str, path: bytes, query: bytes) -> tuple[str, str]:
    """Give the two tags of a URL: on any host, and on this one.

    The path (mount included) is percent-decoded, so every spelling of a URL is purged with it.
    """
    plain = unquote_to_bytes(path) if b"%" in path else path
    decoded = plain.decode("utf-8", "surrogateescape")
    target = f"{decoded}?{query.decode('latin-1')}" if query else decoded
    return normalise(f"{_RESERVED}{target}"), normalise(f"{_RESERVED}{host}{target}")
