"""Why the application was asked, and why its answer was not kept: one word each, and what it means.

The words are what `Cache-Status`, counters and log lines say; `cache.explain()` says the sentences.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["FORWARDED", "NOT_KEPT", "Reason"]


class Reason(Struct, frozen=True):
    """What a word means; `word` is the one of RFC 9211 §2.2 that it comes under."""

    word: str
    sentence: str


FORWARDED = {
    "no-route": Reason("bypass", "no route is listed for this path"),
    "off": Reason(
        "bypass", "the route is switched off, by a flag, its configuration or the kill switch"
    ),
    "canary": Reason("bypass", "the route's flag lets a share of the keys in, and not this one"),
    "shadow": Reason("bypass", "the route is in shadow: what the cache would do is watched"),
    "holdout": Reason("bypass", "chance has chosen this request to compare the others with"),
    "cut-off": Reason(
        "bypass", "the log of purges is not heard, and the route's consistency is strict"
    ),
    "method": Reason("method", "the route does not cache this method"),
    "identity": Reason("bypass", "the route's identity function did not say who is asking"),
    "target": Reason("bypass", "the target could be read as another path than the one matched"),
    "host": Reason("bypass", "there is not exactly one well-formed Host"),
    "method-override": Reason("bypass", "a field asks for another method than the request has"),
    "body": Reason("bypass", "the request has a body that the route does not key"),
    "body-limit": Reason("bypass", "the body is larger than the route's body_limit"),
    "body-length": Reason(
        "bypass", "the body did not come whole, or not as long as its Content-Length says"
    ),
    "operation": Reason("bypass", "it is no GraphQL query, or cannot be read as one for sure"),
    "precondition": Reason(
        "bypass",
        "If-Match, If-Unmodified-Since, and a condition on a POST are for the origin alone",
    ),
    "spelling": Reason("bypass", "a field is spelt with underscores, which some servers fold"),
    "authorization": Reason(
        "bypass", "the request is authorized, and what is stored is not for such"
    ),
    "cookie": Reason(
        "bypass", "the request has cookies, and the route does not say which it reads"
    ),
    "range": Reason("partial", "a part is asked for, and nothing whole is stored"),
    "request": Reason(
        "request", "the client insists on more than is stored, and the route honours it"
    ),
    "uri-miss": Reason("uri-miss", "nothing is stored for this request"),
    "vary-miss": Reason("vary-miss", "only answers to other selecting fields (Vary) are stored"),
    "stale": Reason("stale", "what is stored is stale: it is validated, or fetched anew"),
    "hit-for-miss": Reason(
        "miss", "the last answer could not be kept, so nobody waits for this one"
    ),
    "waiters": Reason("miss", "too many requests are waiting already"),
    "alone": Reason(
        "miss", "another's answer did not come in time, failed, or could not be shared"
    ),
    "refresh": Reason("stale", "a stale answer was served and is renewed in the background"),
}
"""Every reason of a `Forward`."""

NOT_KEPT = {
    "no-store": "the response says no-store",
    "private": "the response says private",
    "no-cache": "the response says no-cache and has no validator",
    "set-cookie": "the response sets a cookie",
    "vary-star": "the response varies on everything",
    "partial": "the response is a part, or a 304",
    "transfer-encoding": "a transfer coding other than chunked is on the body",
    "trailers": "the response has trailers",
    "authorization": "the request was authorized, and the response does not say that it may be shared",
    "cookie": "the request had cookies, and the response says neither public nor Vary: Cookie",
    "status": "this status is not kept on this route",
    "no-lifetime": "the response states no lifetime, and the route has none to give",
    "stale": "the response was stale when it came",
    "too-large": "the body is larger than the route keeps",
    "length": "the body is not as long as its Content-Length says",
    "graphql-errors": "the answer reports GraphQL errors, or is not plain JSON",
    "exception": "the application raised",
    "incomplete": "the client went away before the end",
    "write": "the application used write()",
    "message": "the server was sent a message that cannot be copied",
    "request": "the client said no-store, and the route honours it",
    "too-many-tags": "the answer has more tags than recording.max_tags",
    "identity-error": "the route's identity function raised",
}
"""Every reason of an answer that was not kept."""
