"""From a fuzzer's bytes to what parsers are given: text, so that an input can be read and written.

A head is lines of `name: value`; a blank line parts one section of an input from the next.
"""

from __future__ import annotations

from cachemw.http.fields import Fields

__all__ = ["fields", "repeated", "sections", "text"]


def sections(data: bytes, count: int) -> list[bytes]:
    """Cut at blank lines; what is missing is empty, the last section holds all the rest."""
    found = data.split(b"\n\n", count - 1)
    return found + [b""] * (count - len(found))


def fields(lines: bytes) -> Fields:
    """Read a head. Servers let neither CR nor NUL into a value, nor space around it."""
    clean = lines.translate(None, b"\r\0")
    pairs = [line.partition(b":") for line in clean.split(b"\n") if b":" in line]
    return Fields([(name.lower(), value.strip(b" \t")) for name, _, value in pairs])


def repeated(name: bytes, lines: bytes) -> Fields:
    """Make every line a value of one field."""
    return Fields([(name, line) for line in lines.translate(None, b"\r\0").split(b"\n")])


def text(data: bytes) -> str:
    """Read as front doors read a path: what is no UTF-8 becomes surrogates."""
    return data.decode("utf-8", "surrogateescape")
