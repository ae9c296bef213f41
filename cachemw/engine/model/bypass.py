"""What a request carries that could make its answer personal or poisonous, and what is done about it.

Every field that is known to steer applications is in exactly one table:

- **bypass**: the request goes to the application untouched and its answer is not kept;
- **keyed**: the value becomes part of the key, so a forged one reaches only its sender;
- **removed**: the application does not see it on a cached route, so it cannot steer the answer.

`Host` is always keyed; `Cookie` and `Authorization` have rules of their own (see `cachemw.http.storing`).
A spelling with underscores reaches CGI-style applications as the same field, so it is suspicious.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from cachemw.http.messages import Request

__all__ = [
    "CONDITIONAL",
    "DEFAULT_PORTS",
    "DIRECTIVES",
    "KEYED",
    "RANGE",
    "REMOVED",
    "bypass_reason",
    "is_host",
    "normalised_host",
    "watched",
]

_BYPASS = {
    b"transfer-encoding": "body",
    b"x-http-method-override": "method-override",
    b"x-http-method": "method-override",
    b"x-method-override": "method-override",
    # RFC 9111 §4.3.2: these two are for the origin alone to judge, so it is asked.
    b"if-match": "precondition",
    b"if-unmodified-since": "precondition",
}

_BYPASS_KEYED = {name: reason for name, reason in _BYPASS.items() if reason != "body"}

# What proxies use to tell an application its own address, and Origin, which CORS layers answer
# with or without a Vary.
KEYED = frozenset(
    {
        b"front-end-https",
        b"origin",
        b"x-forwarded-host",
        b"x-forwarded-path",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-protocol",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-uri",
        b"x-host",
        b"x-original-host",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-scheme",
        b"x-script-name",
        b"x-url-scheme",
    }
)

# Client addresses: different for every client, so keying them would leave nothing to share.
REMOVED = frozenset(
    {
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-forwarded",
        b"x-forwarded-for",
        b"x-real-ip",
    }
)

RANGE = frozenset({b"range", b"if-range"})
"""Answered by cachemw itself out of a stored answer, by the application out of its own."""

DIRECTIVES = frozenset({b"cache-control", b"pragma"})
"""What a client asks of caches: noticed only where a route honours it."""

CONDITIONAL = frozenset({b"if-none-match", b"if-modified-since"})
"""Answered by cachemw itself: taken from the forwarded request, so that the full answer can be kept."""

_HOST = re.compile(rb"(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_ENCODED_SEPARATOR = re.compile(rb"%2f|%5c|%00|\\|\x00", re.IGNORECASE)
DEFAULT_PORTS = {"http": b":80", "https": b":443"}


@dataclass(frozen=True, slots=True)
class Watched:
    """The fields that the fast path must notice."""

    names: frozenset[bytes]
    suspicious: frozenset[bytes]


def watched(declared: frozenset[bytes], *, honours: bool = False) -> Watched:
    """Give every field name that matters to some route, and the underscore spellings of all of them.

    `declared` are the fields that routes vary on; `honours` says whether one of them honours what
    clients ask of caches.
    """
    own = {b"cookie", b"authorization", b"content-length", *CONDITIONAL, *RANGE}
    if honours:
        own |= DIRECTIVES
    names = frozenset(own | set(_BYPASS) | KEYED | declared)
    suspicious = frozenset(
        spelling for name in names | REMOVED | {b"host"} for spelling in _underscored(name)
    )
    return Watched(names | suspicious, suspicious)


def _underscored(name: bytes) -> list[bytes]:
    pieces = name.decode("ascii").split("-")
    spellings = []
    for joints in itertools.product("-_", repeat=len(pieces) - 1):
        if "_" in joints:
            text = pieces[0] + "".join(j + p for j, p in zip(joints, pieces[1:], strict=True))
            spellings.append(text.encode("ascii"))
    return spellings


def bypass_reason(
    request: Request,
    suspicious: frozenset[bytes],
    *,
    watched: bool = True,
    keyed: bool = False,
) -> str | None:
    """Say why a request must go past the cache, or None.

    `watched` says if it has any watched field, `keyed` if the key holds its body.
    """
    if not request.raw_path.startswith(b"/"):
        return "target"  # absolute-form or asterisk-form (RFC 9112 §3.2)
    if _ENCODED_SEPARATOR.search(request.raw_path):
        return "target"  # what one layer reads as one segment another reads as two
    if not is_host(request):
        return "host"
    if not watched:
        return None
    fields = request.headers
    rules = _BYPASS_KEYED if keyed else _BYPASS
    if not rules.keys().isdisjoint(fields.names):
        return next(rules[name] for name in rules if name in fields)
    if not suspicious.isdisjoint(fields.names):
        return "spelling"
    if keyed:
        return None
    length = fields.first(b"content-length")
    return "body" if length is not None and length.strip() != b"0" else None


def is_host(request: Request) -> bool:
    """Say whether there is exactly one Host, and a well-formed one."""
    hosts = request.headers.values(b"host")
    return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None


def normalised_host(request: Request) -> bytes:
    """Give the Host in lower case, without the scheme's default port (RFC 9110 §4.2.3)."""
    host = (request.headers.first(b"host") or b"").lower()
    return host.removesuffix(DEFAULT_PORTS.get(request.scheme, b"\n"))
