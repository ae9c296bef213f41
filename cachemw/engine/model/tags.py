"""Tags: the names that purges use, with one spelling for each.

A tag is 1 to 256 visible ASCII characters without comma and star. Everything else is percent-encoded,
in the same way wherever a tag is made. So `product:{slug}` on a route and `product:é` in a purge are the
same tag. If two names share a spelling, a purge removes more than was asked for, never less (I5).

Colons make *families*: the tag `db:product:5` belongs to the families `db:*` and `db:product:*`. Entries
carry the families of their tags, so the purge of a family is the purge of one tag, however large it is.

Tags that cachemw adds itself begin with `@`: `@/products/1?page=2` is a URL on every host,
`@shop.example/products/1` is one on this host, and `@route:products` is a route.
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
    "family_of",
    "fill",
    "group_tag",
    "normalise",
    "purged_tag",
    "route_tag",
    "static_families",
    "url_tags",
    "user_tag",
    "with_families",
]

MAX_LENGTH = 256
MAX_DEPTH = 3
"""How many colons of a tag make families. What follows further colons belongs to the last family."""
ANY = "*"
_LONGEST_FAMILY = 200
"""Characters. A longer tag may have been shortened to a digest, which has no families."""
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",*")
_RESERVED = "@"
_PLAIN = re.compile(r"[!-)+\--~]{1,256}")
_PARAMETER = re.compile(r"\{([^{}]+)\}")


def user_tag(tag: str) -> str:
    """Return the spelling of a tag that a user wrote. Raise TagError if it cannot be one."""
    if not isinstance(tag, str) or not tag:
        raise TagError(f"a tag is a text of 1 to {MAX_LENGTH} characters, got {tag!r}")
    if tag.startswith(_RESERVED):
        raise TagError(f"{tag!r}: tags that begin with '@' are cachemw's own; use another name")
    try:
        return normalise(tag)
    except UnicodeEncodeError:
        raise TagError(f"{tag!r}: half of a surrogate pair is no character") from None


def purged_tag(tag: str) -> str:
    """Return the spelling of a tag or family to purge. Raise TagError if it cannot be one."""
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
    """Return tags together with the families that they belong to, each once."""
    found = dict.fromkeys(tags)
    for tag in tuple(found):
        colon = tag.find(":", 1)  # a value at the start of a tag may begin with a colon
        if colon > 0 and not tag.startswith(_RESERVED):
            for _ in range(MAX_DEPTH):
                if not 0 < colon <= _LONGEST_FAMILY:
                    break
                found[tag[: colon + 1] + ANY] = None
                colon = tag.find(":", colon + 1)
    return tuple(found)


def static_families(templates: Iterable[str]) -> tuple[str, ...]:
    """Return the families that all tags of these templates belong to, whatever their values are."""
    # Of `a:b{id}`, only `a:` is the same for all values.
    starts = (template.partition("{")[0].rpartition(":")[0] for template in templates)
    tags = with_families(normalise(f"{start}:") for start in starts)
    return tuple(tag for tag in tags if tag.endswith(f":{ANY}"))


def normalise(tag: str) -> str:
    """Percent-encode what a tag must not contain. A tag that is too long is shortened to a digest."""
    if _PLAIN.fullmatch(tag):
        return tag
    spelt = quote(tag, safe=_SAFE, errors="surrogateescape")
    if len(spelt) <= MAX_LENGTH:
        return spelt
    digest = blake2b(spelt.encode("ascii"), digest_size=16).hexdigest()
    return f"{spelt[: MAX_LENGTH - 33]}~{digest}"


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into a tag template. It takes one pass, so a value is never a template.

    A value may come from a client. It never makes one of cachemw's own tags, which begin with `@`.
    """
    tag = "".join(
        [values.get(name, f"{{{name}}}") if name else text for text, name in _pieces(template)]
    )
    if tag.startswith(_RESERVED) and not template.startswith(_RESERVED):
        return f"%40{tag[1:]}"
    return tag


def family_of(tag: str) -> str:
    """Return the smallest family that holds every tag below a spelt one: `a:b` has `a:b:*`.

    A tag may have more colons, or more characters, than families have. Then it is a family above.
    """
    spelt, end = f"{tag}:", 0
    for _ in range(MAX_DEPTH):
        colon = spelt.find(":", end + 1)
        if not 0 < colon <= _LONGEST_FAMILY:
            break
        end = colon
    return f"{spelt[:end]}:{ANY}" if end else tag


@lru_cache(maxsize=4096)  # templates come from the configuration
def _pieces(template: str) -> tuple[tuple[str, str], ...]:
    """Return the pieces of a template: `(text, "")` or `("", parameter)`."""
    texts = _PARAMETER.split(template)
    return tuple(
        ("", piece) if odd % 2 else (piece, "") for odd, piece in enumerate(texts) if piece
    )


def route_tag(route: str) -> str:
    """Return the tag that every entry of a route carries."""
    return normalise(f"{_RESERVED}route:{route}")


def group_tag(host: str, group: str) -> str:
    """Return the tag of a cache group, which belongs to one host (RFC 9875 §2.1)."""
    return normalise(f"{_RESERVED}group:{host} {group}")


def url_tags(host: str, path: str, query: bytes) -> tuple[str, str]:
    """Return the two tags of a URL: on any host, and on this host.

    The path (mount included) is decoded. All spellings of a URL have the same tags.
    """
    target = _folded_path(path)
    if query:
        target += f"?{_folded_query(query)}"
    any_host, this_host = f"{_RESERVED}{target}", f"{_RESERVED}{host}{target}"
    if _PLAIN.fullmatch(this_host):  # then so is the shorter one
        return any_host, this_host
    return normalise(any_host), normalise(this_host)


def _folded_path(path: str) -> str:
    """Return the same text for all decoded paths that some server or framework takes for one.

    - Bytes that are not UTF-8 become U+FFFD in ASGI servers and Werkzeug, and `%FF` in Django. A mount may
      have come percent-encoded too. So the path is decoded once more, to characters.
    - Flask merges slashes at the start of a path, Apache merges all of them and resolves dots.
    """
    if not path.isascii() or "%" in path:
        data = unquote_to_bytes(path.encode("utf-8", "surrogateescape"))
        path = data.decode("utf-8", "replace")
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    *segments, last = path.split("/")
    for segment in (*segments, last):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and last in ("", ".", "..") else ""
    return f"/{'/'.join(kept)}{end}"


def _folded_query(query: bytes) -> str:
    """Return the same text for all spellings of a query."""
    if b"%" not in query and b"+" not in query:
        return query.decode("latin-1")
    return unquote_to_bytes(query.replace(b"+", b" ")).decode("latin-1")
