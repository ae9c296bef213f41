"""Translation of a WSGI environ, and of Django's `META`, which is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from cachemw.engine.model.routes import Extra, Target
from cachemw.engine.privacy.bypass import CONDITIONAL
from cachemw.engine.privacy.identity_headers import OUTER_ENVIRON, VARIABLES
from cachemw.engine.request.keying import Rewrite
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Request

__all__ = ["EnvironReader", "apply_rewrite", "native", "native_pair", "raw_target"]

Environ = dict[str, Any]

_BARE = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_REWRITTEN = CONDITIONAL | {b"cookie"}
"""Headers to which a rewrite may give another value."""
_RAW_NAMES = ("RAW_URI", "REQUEST_URI")
"""Variables with the raw request target: of gunicorn and Werkzeug, of uWSGI and mod_wsgi."""


_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
"""Paths that `quote` would not change: nearly all."""


def raw_target(environ: Mapping[str, Any]) -> str | None:
    """Return the request target as it came over the wire, if the server tells."""
    return environ.get("RAW_URI") or environ.get("REQUEST_URI")


class EnvironReader:
    """Reads requests, for one set of watched headers."""

    def __init__(self, names: frozenset[bytes], *, decoded: bool = False) -> None:
        """Prepare to read requests. `decoded`: the paths are decoded text, as in Django's `META`."""
        self._text: Callable[[str], str] = str if decoded else _decoded
        # `X-Name` and `X_Name` are one variable here. Servers drop or fold the second spelling.
        plain = [name for name in names if b"_" not in name and name not in _BARE]
        headers = {_variable(name): name for name in plain if name[:1] != b":"}
        self._watched = {**headers, **VARIABLES, **OUTER_ENVIRON}
        self._names = frozenset(self._watched)

    def target(self, environ: Mapping[str, Any], scheme: str, raw: str | None) -> Target:
        """Return the values that identify the target of a request."""
        return (
            scheme,
            environ.get("HTTP_HOST"),
            environ.get("SCRIPT_NAME"),
            environ.get("PATH_INFO"),
            raw,
            environ.get("QUERY_STRING"),
        )

    def watched(self, environ: Mapping[str, Any]) -> Extra | None:
        """Return the watched headers of a request, or None if it has none."""
        length = environ.get("CONTENT_LENGTH")
        has_body = bool(length) and length != "0"
        if self._names.isdisjoint(environ) and not has_body:
            return None
        found: Extra = []
        # Sorted, so that a plan is found again: the order of a set says nothing.
        for variable in sorted(self._names.intersection(environ)):
            if variable[:5] == "HTTP_":
                found.append((self._watched[variable], environ[variable].encode("latin-1")))
            else:
                found += _outer(variable, environ)
        if has_body:
            found.append((b"content-length", str(length).encode("latin-1", "replace")))
        return found or None

    def request(
        self,
        environ: Mapping[str, Any],
        scheme: str,
        raw: str | None,
        outer: Sequence[Pair] = (),
    ) -> Request:
        """Return the whole request, with what `outer` adds about the client."""
        mount = self._text(environ.get("SCRIPT_NAME", ""))
        path = self._text(environ.get("PATH_INFO", "")) or "/"
        query = environ.get("QUERY_STRING", "").encode("latin-1")
        headers = [
            (_field(name), value.encode("latin-1"))
            for name, value in environ.items()
            if name[:5] == "HTTP_" and isinstance(value, str)
        ]
        for field, variable in _BARE.items():
            if value := environ.get(variable):
                headers.append((field, str(value).encode("latin-1")))
        said = [pair for name in sorted(_OUTER & environ.keys()) for pair in _outer(name, environ)]
        return Request(
            method=environ["REQUEST_METHOD"],
            scheme=scheme,
            mount=mount.rstrip("/"),
            path=path,
            raw_path=_raw_path(raw, mount, path),
            query=query,
            headers=Fields(headers),
            outer=(*said, *outer),
        )


_OUTER = VARIABLES.keys() | OUTER_ENVIRON.keys()


def _outer(variable: str, environ: Mapping[str, Any]) -> list[Pair]:
    """Return what a variable says about the client, for `Request.outer`; nothing if it is empty."""
    if variable in OUTER_ENVIRON:
        return [(OUTER_ENVIRON[variable], f'environ["{variable}"]'.encode("ascii"))]
    value = environ[variable]
    return [(VARIABLES[variable], str(value).encode("utf-8", "surrogatepass"))] if value else []


def _raw_path(raw: str | None, mount: str, path: str) -> bytes:
    """Return the raw path, or what it most probably was. The decoded path is keyed too."""
    if raw is not None:
        return raw.partition("?")[0].encode("latin-1")
    whole = mount + path
    if _PLAIN.fullmatch(whole):
        return whole.encode("ascii")
    return quote(whole, errors="surrogateescape").encode("ascii")


def _decoded(text: str) -> str:
    """Return the text of bytes that WSGI passes as latin-1 (PEP 3333)."""
    if text.isascii():
        return text
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


@lru_cache(maxsize=1024)
def _field(variable: str) -> bytes:
    """Return the header name of an `HTTP_…` variable."""
    return variable[5:].replace("_", "-").lower().encode("latin-1")


def _variable(name: bytes) -> str:
    return "HTTP_" + name.decode("ascii").upper().replace("-", "_")


def apply_rewrite(environ: Environ, rewrite: Rewrite) -> None:
    """Change an environ into what the application is to see: fewer headers, the route's query."""
    kept = rewrite.headers.names
    removed = [name for name in environ if name[:5] == "HTTP_" and _field(name) not in kept]
    changed = {
        _variable(field): b", ".join(rewrite.headers.values(field)).decode("latin-1")
        for field in _REWRITTEN & kept
    }
    query = rewrite.query.decode("latin-1")
    if query != environ.get("QUERY_STRING", ""):
        changed["QUERY_STRING"] = query
        for variable in _RAW_NAMES:
            if variable in environ:
                path = environ[variable].partition("?")[0]
                changed[variable] = f"{path}?{query}" if query else path
    # Nothing is changed before everything is known: an error must not leave half a request (I3).
    for variable in removed:
        del environ[variable]
    environ.update(changed)


def native(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return header pairs as native strings, as WSGI wants them."""
    return [native_pair(pair) for pair in headers]


@lru_cache(maxsize=4096)  # hits send the same few pairs again and again
def native_pair(pair: tuple[bytes, bytes]) -> tuple[str, str]:
    """Return one header pair as native strings (PEP 3333: latin-1)."""
    return pair[0].decode("latin-1"), pair[1].decode("latin-1")
