"""Request headers that could make a response personal or poison the cache, and what is done about them.

Every header that is known to influence applications is in exactly one table:

- **bypass**: the request goes to the application unchanged, and its response is not stored;
- **keyed**: the value becomes part of the key, so a forged value reaches only its sender;
- **removed**: the application does not see it on a cached route, so it cannot change the response.

`Host` is always keyed. `Cookie`, `Authorization` and the other headers that say who is asking have rules of
their own (see `identity_headers` and `cachemw.http.storing`).
A name with underscores reaches CGI-style applications as the same header, so it is suspicious.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from cachemw.http.messages import Request

__all__ = [
    "CONDITIONAL",
    "DIRECTIVES",
    "KEYED",
    "PARTIAL",
    "RANGE",
    "REMOVED",
    "bypass_reason",
    "host_of",
    "is_host",
    "normalised_host",
    "watched",
]

_BYPASS = {
    b"transfer-encoding": "body",
    b"x-http-method-override": "method-override",
    b"x-http-method": "method-override",
    b"x-method-override": "method-override",
    # RFC 9111 §4.3.2: only the application can judge these two, so it is asked.
    b"if-match": "precondition",
    b"if-unmodified-since": "precondition",
}

_BYPASS_KEYED = {name: reason for name, reason in _BYPASS.items() if reason != "body"}

PARTIAL = frozenset(
    {
        b"datastar-request",
        b"fx-request",
        b"hx-boosted",
        b"hx-history-restore-request",
        b"hx-preloaded",
        b"hx-prompt",
        b"hx-request",
        b"hx-request-type",
        b"hx-source",
        b"hx-target",
        b"hx-trigger",
        b"hx-trigger-name",
        b"turbo-frame",
        b"x-alpine-request",
        b"x-alpine-target",
        b"x-barba",
        b"x-ic-request",
        b"x-inertia",
        b"x-inertia-error-bag",
        b"x-inertia-except-once-props",
        b"x-inertia-infinite-scroll-merge-intent",
        b"x-inertia-partial-component",
        b"x-inertia-partial-data",
        b"x-inertia-partial-except",
        b"x-inertia-reset",
        b"x-inertia-version",
        b"x-livewire-navigate",
        b"x-pjax",
        b"x-pjax-container",
        b"x-requested-with",
        b"x-up-context",
        b"x-up-fail-context",
        b"x-up-fail-mode",
        b"x-up-fail-target",
        b"x-up-mode",
        b"x-up-origin-mode",
        b"x-up-target",
        b"x-up-validate",
        b"x-up-version",
    }
)
"""Scripts ask for a part of a page with these: htmx, fixi, Turbo, PJAX, Inertia, Unpoly, Alpine AJAX and
others. They are keyed by their value, not by their presence: an application that compares `HX-Request`
with `true` answers another value with the whole page, so a forged value could put the page in the place of
the part. Each library sends one value where only the presence counts, so nothing is lost."""

# Proxies tell an application its own address with the others. Origin: some CORS layers answer it without
# a Vary header.
KEYED = PARTIAL | frozenset(
    {
        b"cf-visitor",
        b"cloudfront-forwarded-proto",
        b"front-end-https",
        b"origin",
        b"wl-proxy-ssl",
        b"x-appengine-https",
        b"x-arr-ssl",
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

# Client addresses differ for every client. If they were keyed, nothing could be shared. htmx says in every
# request which page it comes from, and Turbo numbers every request: no response for one would be another's.
REMOVED = frozenset(
    {
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"hx-current-url",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-forwarded",
        b"x-forwarded-for",
        b"x-real-ip",
        b"x-turbo-request-id",
    }
)

RANGE = frozenset({b"range", b"if-range"})
"""The cache answers these from a stored response, the application from its own."""

DIRECTIVES = frozenset({b"cache-control", b"pragma"})
"""What a client asks of caches. Watched only if some route honours it."""

CONDITIONAL = frozenset({b"if-none-match", b"if-modified-since"})
"""The cache answers these. They are removed from forwarded requests, so that the whole response comes
and can be stored."""

_HOST = re.compile(rb"(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_ENCODED_SEPARATOR = re.compile(rb"%2f|%5c|%00|\\|\x00", re.IGNORECASE)
_ENDING = re.compile(r"\.?(?::(?:0*(?:80|443))?)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Watched:
    """The headers that the fast path must notice."""

    names: frozenset[bytes]
    suspicious: frozenset[bytes]


def watched(
    declared: frozenset[bytes],
    identity: frozenset[bytes] = frozenset({b"authorization"}),
    *,
    honours: bool = False,
) -> Watched:
    """Return every header that matters to some route, and all their names with underscores.

    `declared` are the headers that routes vary on, `identity` those that say who is asking. `honours`
    tells whether a route honours the clients' Cache-Control.
    """
    own = {b"cookie", b"content-length", *identity, *CONDITIONAL, *RANGE}
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
    """Return why a request must bypass the cache, or None.

    `watched` tells whether it has any watched header, `keyed` whether its body is part of the key.
    """
    if not request.raw_path.startswith(b"/"):
        return "target"  # absolute-form or asterisk-form (RFC 9112 §3.2)
    if _ENCODED_SEPARATOR.search(request.raw_path):
        return "target"  # one layer may read one segment where another reads two
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
    lengths = fields.values(b"content-length")  # of several, any may be the one that is believed
    return "body" if any(length.strip() != b"0" for length in lengths) else None


def is_host(request: Request) -> bool:
    """Tell whether there is exactly one Host header, and it is well formed."""
    hosts = request.headers.values(b"host")
    return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None


def host_of(request: Request) -> bytes:
    """Return the Host as the application sees it; empty if there is none.

    Its case and its port are in the key: the application may write them into a link or a redirect.
    """
    return request.headers.first(b"host") or b""


def normalised_host(host: str) -> str:
    """Return the name of a host in tags: in lower case, without a final dot and the port of HTTP(S).

    So a purge reaches all spellings of a URL. Whatever ends TLS may have left either port in the Host,
    so it is not compared with the scheme.
    """
    return _ENDING.sub("", host.lower())
