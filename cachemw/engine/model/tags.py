"""Tags: the names that purges use, one spelling for each.

A tag is 1 to 256 visible ASCII characters without a comma or a star. Anything else in it is
percent-encoded in the same way wherever a tag is made, so `product:{slug}` on a route and
`product:é` in a purge meet. Where two names share a spelling a purge takes more than it was asked
for, never less.

Colons make *families*: `db:product:5` is of the families `db:*` and `db:product:*`. Entries carry the
families of their tags, so a purge of a family is a purge of one tag, however many are in it.

The tags that cachemw gives by itself begin with `@`: `@/products/1?page=2` names a URL on every
host, `@shop.example/products/1` on one, and `@route:products` a route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote, unquote_to_bytes

from cachemw.errors import TagError

__all__ = [
    "ANY",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "fill",
    "group_tag",
    "normalise",
    "purged_tag",
    "route_tag",
    "url_tags",
    "user_tag",
    "with_families",
]

MAX_LENGTH = 256
MAX_DEPTH = 3
"""The colons of a tag that make families; what stands behind more of them is of the last."""
ANY = "*"
_LONGEST_FAMILY = 200
"""Characters: what is longer may have been cut to a digest, which has no families."""
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",*")
_RESERVED = "@"
_PLAIN = re.compile(r"[!-)+\--~]{1,256}")
_PARAMETER = re.compile(r"\{(\w+)\}")


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


def purged_tag(tag: str) -> str:
    """Give the one spelling of a tag, or of a family, that somebody wants purged; or raise TagError."""
    family = tag.removesuffix(":" + ANY) if isinstance(tag, str) else tag
    if family == tag:
        if isinstance(tag, str) and ANY in tag:
            raise TagError(
                f"{tag!r}: a star stands alone behind a colon, as in 'product:*';"
                " one that is part of a tag is written %2A"
            )
        return user_tag(tag)
    spelt = user_tag(family)
    if spelt.count(":") >= MAX_DEPTH or len(spelt) > _LONGEST_FAMILY:
        raise TagError(
            f"{tag!r}: families end at the first {MAX_DEPTH} colons, within"
            f" {_LONGEST_FAMILY} characters"
        )
    return f"{spelt}:{ANY}"


def with_families(tags: Iterable[str]) -> tuple[str, ...]:
    """Give tags, in their one spelling, and the families that they are of; each once."""
    found = dict.fromkeys(tags)
    for tag in tuple(found):
        colon = tag.find(":")
        if colon > 0 and not tag.startswith(_RESERVED):
            for _ in range(MAX_DEPTH):
                if not 0 < colon <= _LONGEST_FAMILY:
                    break
                found[tag[: colon + 1] + ANY] = None
                colon = tag.find(":", colon + 1)
    return tuple(found)


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
    anywhere, here = f"{_RESERVED}{target}", f"{_RESERVED}{host}{target}"
    if _PLAIN.fullmatch(here):  # then so is the shorter one
        return anywhere, here
    return normalise(anywhere), normalise(here)
