"""The readable contents of a key: what `classify` has put into it."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from cachemw.engine.model.keys import decode_parts

__all__ = ["KeyContents", "read_key"]


class KeyContents(Struct, frozen=True, kw_only=True):
    """The readable contents of a full key. Secrets are digests in it, and cannot be read."""

    method: str
    url: str
    by: tuple[str, ...]
    """What else is in the key: names of headers, `cookie`, `identity`, `body`."""


_TARGET = 7
"""Parts in the key of a target, the namespace first; see `_base_plan`."""
_PLAN = 6
"""Parts in the key of an extended plan, the target's key first; see `_extended_plan`."""
_DEPTH = 2
"""The key of a variant holds the key of a plan, which holds the key of a target."""
_IN_PATH = "/%:@!$&'()*+,;=~-._[]"
_IN_QUERY = _IN_PATH + "?"


def read_key(full: bytes) -> KeyContents:
    """Return what a full key holds. Raise ValueError if `classify` did not make it."""
    parts, method = decode_parts(full), "GET"
    by: list[str] = []
    for _ in range(_DEPTH):
        within = parts[0] if parts else None
        # An encoding of parts begins with a zero byte; a namespace never does.
        if within is None or not within.startswith(b"\0"):
            break
        if len(parts) == _PLAN and parts[1] is None:
            names, method = _read_plan(parts)
            by[:0] = names
        else:
            by += [_text(name) for name in parts[1::2]]
        parts = decode_parts(within)
    if len(parts) != _TARGET or None in parts:
        raise ValueError("this is not the key of a request")
    _, scheme, host, mount, path, decoded, query = map(_bytes, parts)
    if unquote_to_bytes(path) != decoded:  # then the mount is in it, as it was spelt
        mount = b""
    url = (
        f"{_text(scheme)}://{_text(host)}{quote(mount, safe=_IN_PATH)}{quote(path, safe=_IN_PATH)}"
    )
    if query:
        url += f"?{quote(query, safe=_IN_QUERY)}"
    return KeyContents(method=method, url=url, by=tuple(dict.fromkeys(by)))


def _read_plan(parts: list[bytes | None]) -> tuple[list[str], str]:
    """Return what the key of an extended plan holds beside its target's, and the method."""
    _, _, keyed, cookies, identity, body = parts
    names = [] if keyed is None else [_text(name).lstrip(":") for name in decode_parts(keyed)[::2]]
    for name, part in (("cookie", cookies), ("identity", identity), ("body", body)):
        if part is not None:
            names.append(name)
    return names, "GET" if body is None else _text((decode_parts(body) or [None])[0])


def _bytes(part: bytes | None) -> bytes:
    return part or b""


def _text(part: bytes | None) -> str:
    return _bytes(part).decode("latin-1")
