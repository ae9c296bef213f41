"""Reasons why a request was forwarded, and why a response was not stored: a word and a sentence for each.

`Cache-Status`, counters and log lines use the words; `cache.explain()` uses the sentences.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["FORWARDED", "NOT_KEPT", "Reason"]


class Reason(Struct, frozen=True):
    """The meaning of a reason; `word` is its value in RFC 9211 §2.2."""

    word: str
    sentence: str


FORWARDED = {
    "no-route": Reason("bypass", "no route is listed for this path"),
    "off": Reason(
        "bypass",
        "the route is switched off: by a flag, its configuration or the kill switch, or for development",
    ),
    "flags-unknown": Reason(
        "bypass",
        "Redis has not answered yet, so this process does not know which flags are switched off",
    ),
    "canary": Reason(
        "bypass", "the route's flag lets in a share of the keys, and this key is not one of them"
    ),
    "shadow": Reason(
        "bypass",
        "the route is in shadow: the application answers, and its response is only compared",
    ),
    "holdout": Reason(
        "bypass", "the request was drawn for the holdout, the control group that bypasses the cache"
    ),
    "event-loop": Reason(
        "bypass", "the server's event loop is not asyncio's (trio), and the cache needs that"
    ),
    "cut-off": Reason(
        "bypass", "the invalidation log cannot be read, and the route's consistency is strict"
    ),
    "method": Reason("method", "the route does not cache this method"),
    "identity": Reason("bypass", "the route's identity function did not return who is asking"),
    "outer-identity": Reason(
        "bypass", "middleware outside the cache has put a session or a user into the request"
    ),
    "target": Reason("bypass", "the path could be read in more than one way"),
    "host": Reason("bypass", "there is not exactly one well-formed Host"),
    "method-override": Reason("bypass", "a header asks for another method than the request has"),
    "body": Reason("bypass", "the request has a body, which is not part of the key on this route"),
    "body-limit": Reason("bypass", "the body is larger than the route's body_limit"),
    "body-length": Reason(
        "bypass", "the body did not arrive completely, or its length is not the Content-Length"
    ),
    "operation": Reason("bypass", "it is not a GraphQL query, or cannot be read with certainty"),
    "precondition": Reason(
        "bypass",
        "only the application can answer If-Match, If-Unmodified-Since, or a condition on a POST",
    ),
    "spelling": Reason(
        "bypass", "a header name has underscores, which some servers read as hyphens"
    ),
    "authorization": Reason(
        "bypass", "the request says who is asking, and no stored response may answer it"
    ),
    "cookie": Reason(
        "bypass", "the request has cookies, and the route does not say which of them it reads"
    ),
    "personal-cookie": Reason(
        "bypass",
        "the request has a cookie that is in personal_cookies, or that the application was seen to read",
    ),
    "cookie-conflict": Reason(
        "bypass",
        "the application set a cookie that was removed from a request to this URL, or used a token that"
        " could not be followed, so for a while requests reach it unaltered",
    ),
    "tag-values": Reason(
        "bypass", "a query parameter that is in the route's tags has too many values"
    ),
    "range": Reason("partial", "a part is asked for, and no whole response is stored"),
    "request": Reason(
        "request",
        "the client's Cache-Control asks for more than is stored, and the route honours it",
    ),
    "uri-miss": Reason("uri-miss", "nothing is stored for this request"),
    "vary-miss": Reason(
        "vary-miss", "only responses for other values of the selecting headers (Vary) are stored"
    ),
    "stale": Reason("stale", "the stored response is stale: it is validated, or replaced"),
    "hit-for-miss": Reason(
        "miss", "the last response could not be stored, so nobody waits for this one"
    ),
    "waiters": Reason("miss", "too many requests are waiting already"),
    "alone": Reason(
        "miss", "the response of another request was too late, failed, or could not be shared"
    ),
    "refresh": Reason("stale", "a stale response was served, and is refreshed in the background"),
}
"""Every reason of a `Forward`."""

NOT_KEPT = {
    "no-store": "the response says no-store",
    "private": "the response says private",
    "no-cache": "the response says no-cache and has no validator",
    "set-cookie": "the response sets a cookie",
    "cookie-conflict": "the response sets a cookie that was removed from its request",
    "lost-piece": "a piece for one client, such as the token of a form, could not be followed",
    "cookie-read": "the application read a cookie that was removed from its request",
    "nonce": "the Content-Security-Policy of the response has a nonce, which is for one response",
    "vary-star": "the response varies on everything",
    "partial": "the response is a part, or a 304",
    "transfer-encoding": "the body has a transfer coding other than chunked",
    "trailers": "the response has trailers",
    "authorization": "the request said who was asking, and the response does not say that it may be shared",
    "cookie": "the request had cookies, and the response says neither public nor Vary: Cookie",
    "status": "the route does not store responses with this status",
    "no-lifetime": "neither the response nor the route gives a lifetime",
    "stale": "the response was stale when it arrived",
    "overtaken": "what it was made from was purged before it was sent",
    "unknown-value": "it was made from a value of Django's cache, and nobody knows from which rows that was",
    "stale-part": "it was made from a stored response that was stale",
    "too-large": "the body is larger than the route stores",
    "length": "the length of the body is not the Content-Length, or there are several",
    "graphql-errors": "the response reports GraphQL errors, or is not plain JSON",
    "exception": "the application raised",
    "incomplete": "the client left before the end, or the request was cancelled",
    "event-stream": "the response is a stream that does not end (text/event-stream)",
    "unreadable": "the request could not be changed, or the response's head could not be read",
    "body": "the application received a body that is not part of the key",
    "write": "the application used write()",
    "message": "the application sent a message that cannot be copied",
    "validator": "the 304 is about another response than the stored one",
    "request": "the client said no-store, and the route honours it",
    "too-many-tags": "the answer has more tags than recording.max_tags",
    "identity-error": "the route's identity function raised",
}
"""Every reason of a response that was not stored."""
