"""The URLs that a response to an unsafe request invalidates.

Rules:

- A method is safe if the registry says so; any other, also an unknown one, may change something
  (RFC 9110 §9.2.1, §16.1.1).
- A 2xx answer to an unsafe request invalidates what is stored under its URI; an error changed nothing
  (RFC 9111 §4.4). A 3xx answer does so only where the application says that it redirects after success:
  most sites refuse a write in the same way, by a redirect to their login page.
- It also invalidates the URIs in Location and Content-Location, if they have the same origin
  (RFC 9111 §4.4, RFC 9110 §4.3.1).
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit

from cachemw.http.fields import Fields

__all__ = ["invalidates", "is_unsafe", "targets"]

# The safe methods of the registry (RFC 9110 §16.1.1). Names are case-sensitive: `get` is an
# unknown method.
_SAFE = frozenset(
    {"GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE"}
)
_PORTS = {"http": 80, "https": 443}
_URI = re.compile(rb"[!-~]+")


def is_unsafe(method: str) -> bool:
    """Tell whether a request may change something. A request with an unknown method may."""
    return method not in _SAFE


def invalidates(method: str, status: int, *, redirects: bool = False) -> bool:
    """Tell whether a response invalidates what is stored under the request's URI (RFC 9111 §4.4).

    `redirects` says that a 3xx answer to a write there means success.
    """
    return is_unsafe(method) and 200 <= status < (400 if redirects else 300)


def targets(fields: Fields, base: str) -> list[str]:
    """Return the other URIs that a response to an unsafe request invalidates (RFC 9111 §4.4).

    Those are its Location and Content-Location, made absolute and without fragment. `base` is the
    request's URI; the authority is written as in it. URIs of another origin are left out: a site must
    not be able to invalidate another one's responses.
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
    except ValueError:  # not a valid port or address
        return None
    if not same:
        return None
    return uri._replace(
        scheme=own.scheme, netloc=own.netloc, path=uri.path or "/", fragment=""
    ).geturl()


def _origin(uri: SplitResult) -> tuple[str, str | None, int | None]:
    """Return the origin of a URI: scheme, host and port (RFC 9110 §4.3.1)."""
    return uri.scheme, uri.hostname, _PORTS.get(uri.scheme) if uri.port is None else uri.port
