"""Path templates: `/products/{id:int}`, `/files/{rest:path}`.

A template is split at its slashes. A segment is literal text, or text with parameters in it. A parameter
with the converter `path` takes the rest of the path, so nothing may follow it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cachemw.config.syntax.messages import either, show
from cachemw.errors import ConfigError, Problem

__all__ = ["CONVERTERS", "Part", "Segment", "Template", "parse_template"]

CONVERTERS = ("int", "path", "str", "uuid")

Part = str | tuple[str, str]
"""Literal text, or a parameter's name and converter."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_PARAMETER = re.compile(r"(\{[^{}]*\})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
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
