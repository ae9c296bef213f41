"""What an unsafe request makes of what is stored (RFC 9111 §4.4)."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit

from cachemw.http.fields import Fields

__all__ = ["invalidates", "is_unsafe", "targets"]

# RFC 9110 §16.1.1: the registry's safe methods. Names have case: `get` is another, unknown method.
_SAFE = frozenset(
    {"GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE"}
)
_PORTS = {"http": 80, "https": 443}
_URI = re.compile(rb"[!-~]+")


def is_unsafe(method: str) -> bool:
    """Say whether a request may change something; one with an unknown method may."""
    return method not in _SAFE


def invalidates(method: str, status: int) -> bool:
    """Say whether what is stored under the request's URI is invalid after this answer."""
    return is_unsafe(method) and 200 <= status < 400  # §4.4: an error changed nothing


def targets(fields: Fields, base: str) -> list[str]:
    """Give the other URIs of the same origin that a response to an unsafe request invalidates.

    Those are its Location and Content-Location, absolute, without fragment, with the authority
    written as in `base`, the request's URI. Of another origin it may not speak (RFC 9111 §4.4).
    """
    found = []
    for name in (b"location", b"content-location"):
        for value in fields.values(name):
            uri = _resolved(value.strip(b" \t"), base)
            if uri is not None and uri not in found:
                found.append(uri)
    return found


def _resolved(value: bytes, base: str) -> str | None:
    if _URI.fullmatch(value) is None:
        return None
    try:
        own, uri = urlsplit(base), urlsplit(urljoin(base, value.decode("ascii")))
        same = _origin(own) == _origin(uri)
    except ValueError:  # a port or an address that is none
        return None
    if not same:
        return None
    return uri._replace(
        scheme=own.scheme, netloc=own.netloc, path=uri.path or "/", fragment=""
    ).geturl()


def _origin(uri: SplitResult) -> tuple[str, str | None, int | None]:
    """Give scheme, host and port (RFC 9110 §4.3.1)."""
    return uri.scheme, uri.hostname, _PORTS.get(uri.scheme) if uri.port is None else uri.port
