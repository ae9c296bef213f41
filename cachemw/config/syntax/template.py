"""Path templates: `/products/{id:int}`, `/files/{rest:path}`; and tag templates: `comments:{query.uri}`.

A path template is split at its slashes. A segment is literal text, or text with parameters in it. A parameter
with the converter `path` takes the rest of the path, so nothing may follow it.

A tag template is text with placeholders: `{id}` is a parameter of the path, `{query.uri}` one of the query,
and `{header.accept-language}` a request header. A question mark at the end (`{query.uri?}`) makes the value
empty where the request has none; without it, there is no tag then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cachemw.config.syntax.messages import either, show
from cachemw.errors import ConfigError, Problem

__all__ = [
    "CONVERTERS",
    "Part",
    "Segment",
    "TagPlaceholder",
    "Template",
    "parse_tag",
    "parse_template",
]

CONVERTERS = ("int", "path", "str", "uuid")

Part = str | tuple[str, str]
"""Literal text, or a parameter's name and converter."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_PARAMETER = re.compile(r"(\{[^{}]*\})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_PLACEHOLDER = re.compile(r"(?:(query|header)\.([^{}?*]+)(\??)|([A-Za-z_][A-Za-z0-9_]*))")
_REFUSED = {
    "?": "a path has no query: list the parameters the route reads in `query`",
    "#": "a path has no fragment, which browsers never send: leave the # part out",
    "*": "* is not a wildcard here: write {rest:path}, or {name} for one segment",
    "<": "write parameters in braces, such as {id:int}",
    ">": "write parameters in braces, such as {id:int}",
    "\\": "a path is not a regular expression: write parameters in braces, such as {id:int}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The text between two slashes: a literal, or parts with at least one parameter."""

    literal: str | None = None
    parts: tuple[Part, ...] = ()
    catch_all: bool = False
    """Whether the segment takes the rest of the path, with its slashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parsed path template."""

    path: str
    segments: tuple[Segment, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagPlaceholder:
    """One placeholder of a tag template."""

    text: str
    """What stands between the braces."""
    source: Literal["path", "query", "header"]
    name: str
    """Of the parameter, or of the header in lower case."""
    optional: bool
    """Whether a value that is missing counts as an empty one."""


def parse_tag(template: str) -> tuple[str | TagPlaceholder, ...]:
    """Return the texts and the placeholders of a tag template. Raises ValueError."""
    parts: list[str | TagPlaceholder] = []
    for index, piece in enumerate(_PARAMETER.split(template)):
        found = _PLACEHOLDER.fullmatch(piece[1:-1]) if index % 2 else None
        if found is not None:
            parts.append(_placeholder(found))
        elif index % 2 or "{" in piece or "}" in piece:
            raise ValueError(
                "expected parameters such as {id}, {query.page} or {header.accept-language} in a tag,"
                f" got {show(template)}"
            )
        elif piece:
            parts.append(piece)
    return tuple(parts)


def _placeholder(found: re.Match[str]) -> TagPlaceholder:
    source, name, mark, of_path = found.groups()
    if source == "query":
        return TagPlaceholder(found[0], "query", name, bool(mark))
    if source == "header":
        return TagPlaceholder(found[0], "header", name.lower(), bool(mark))
    return TagPlaceholder(found[0], "path", of_path, optional=False)


def parse_template(path: str) -> Template:
    """Parse a template. Raises ConfigError with every mistake in it."""
    messages = _character_mistakes(path)
    segments = tuple(_segment(text, messages) for text in path[1:].split("/"))
    found = [part for segment in segments for part in segment.parts if isinstance(part, tuple)]
    names = [name for name, _ in found]
    messages += [
        f"parameter {{{name}}} appears twice: give each its own name"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    last = segments[-1].parts[-1:]
    messages += [
        f"{{{name}:path}} takes the rest of the path, so it must be the last thing in it"
        for name, converter in found
        if converter == "path" and ((name, converter),) != last
    ]
    if messages:
        raise ConfigError([Problem("", message) for message in dict.fromkeys(messages)])
    return Template(path=path, segments=segments, parameters=tuple(names))


def _character_mistakes(path: str) -> list[str]:
    messages = [advice for character, advice in _REFUSED.items() if character in path]
    if not path.startswith("/"):
        messages.append(f'expected a path that starts with "/", got {show(path)}')
    if _ESCAPE.search(path):
        messages.append("paths are matched percent-decoded: write the character itself")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        messages.append("a path cannot contain control characters: remove them")
    return messages


def _segment(text: str, messages: list[str]) -> Segment:
    if "{" not in text and "}" not in text:
        return Segment(literal=text)
    parts: list[Part] = []
    for index, piece in enumerate(_PARAMETER.split(text)):
        if index % 2:
            _add_parameter(piece[1:-1], parts, messages)
        elif "{" in piece or "}" in piece:
            messages.append(f"unbalanced braces in {show(text)}: write a parameter as {{id}}")
        elif piece:
            parts.append(piece)
    catch_all = bool(parts) and isinstance(parts[-1], tuple) and parts[-1][1] == "path"
    return Segment(parts=tuple(parts), catch_all=catch_all)


def _add_parameter(text: str, parts: list[Part], messages: list[str]) -> None:
    name, colon, converter = text.partition(":")
    if not _NAME.fullmatch(name):
        messages.append(
            f"expected a parameter such as {{id}} or {{id:int}}, got {show('{' + text + '}')}"
        )
        return
    if colon and converter not in CONVERTERS:
        messages.append(f"unknown converter {show(converter)}: expected {either(CONVERTERS)}")
        return
    if parts and isinstance(parts[-1], tuple):
        messages.append(f"{{{parts[-1][0]}}} and {{{name}}} need text between them, such as a dash")
    parts.append((name, converter or "str"))
