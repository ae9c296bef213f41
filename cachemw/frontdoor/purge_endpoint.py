"""Purges over HTTP, without I/O: from a request to an order or a refusal, and from a result to JSON.

    PURGE /products/17?page=2                        purges this URL on this host
    PURGE /  with  Cache-Tag: product:17, catalog    purges these tags; Surrogate-Key does the same
    POST /.cachemw/purge  {"tags": [...], ...}       purges as the JSON says: the attributes of `Order`

The rules, in this order:

1. Without a configured token there is no endpoint: every request goes to the application.
2. Any other method on any other path goes to the application.
3. Without exactly one valid token: 401. The answer is the same whatever was wrong, and nothing else is
   examined, so that it reveals nothing about the cache.
4. On the path, everything but a POST of JSON of a bounded length is refused before it is read.
5. `Cache.purge` judges the tags, URLs and routes themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from hmac import compare_digest
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from cachemw.config import EndpointSettings
from cachemw.engine.privacy.bypass import host_of, is_host, normalised_host
from cachemw.engine.request.urls import paths_of
from cachemw.http.messages import Answer, Request

__all__ = ["MAX_BODY", "Order", "PurgeEndpoint", "Refusal", "answer_json", "endpoint_of", "refusal"]

MAX_BODY = 64 * 1024
"""Maximum bytes of an order: room for a thousand tags."""

_METHOD = "PURGE"
_SOFTLY = (b"cachemw-soft-purge", b"fastly-soft-purge")
_TAG_FIELDS = (b"cache-tag", b"surrogate-key")
_DIVIDERS = re.compile(r"[,\s]+")
"""Separators as in a response's own headers: commas in Cache-Tag, spaces in Surrogate-Key."""
_DIGITS = 20
"""Maximum digits of a length: int() refuses thousands of them."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order to purge, with the arguments of `Cache.purge`."""

    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    everything: bool = False
    soft: bool = False
    dry_run: bool = False
    """Whether to return only what a purge would touch."""

    @property
    def words(self) -> dict[str, Any]:
        """The arguments that `Cache.purge` and `Cache.preview` share."""
        names = ("tags", "urls", "routes", "everything")
        return {name: getattr(self, name) for name in names}


class Refusal(msgspec.Struct, frozen=True):
    """A refusal: a short, stable reason that is counted, and the answer for the client."""

    reason: str
    answer: Answer


_read_order = msgspec.json.Decoder(Order).decode


def endpoint_of(config: EndpointSettings) -> PurgeEndpoint | None:
    """Return the endpoint, if the configuration has a token for it."""
    return PurgeEndpoint(config.token, config.path) if config.token else None


class PurgeEndpoint:
    """The purge endpoint: it accepts orders from clients that have a token."""

    def __init__(self, tokens: tuple[str, ...], path: str) -> None:
        self._digests = [_digest(token.encode("ascii")) for token in tokens]
        self._path = path

    def matches(self, request: Request) -> bool:
        """Tell whether a request is for the endpoint, and not for the application."""
        return request.method == _METHOD or request.path == self._path

    def reads_body(self, request: Request) -> bool:
        """Tell whether to read the request's body, up to `MAX_BODY`, before calling `order`."""
        return request.method != _METHOD and self._refused(request) is None

    def order(self, request: Request) -> Order | Refusal:
        """Return what a request orders, or why it is refused."""
        refused = self._refused(request)
        if refused is not None:
            return _bodiless(refused) if request.method == "HEAD" else refused
        return _of_purge(request) if request.method == _METHOD else _of_json(request)

    def _refused(self, request: Request) -> Refusal | None:
        """Return a refusal that the head alone requires, or None."""
        if not self._admits(request):
            pair = (b"www-authenticate", b"Bearer")
            return refusal(401, "token", "a bearer token is required", pair)
        if request.method == _METHOD:
            return None
        if request.method != "POST":
            return refusal(405, "method", "only POST is allowed here", (b"allow", b"POST"))
        media_type = (request.headers.first(b"content-type") or b"").partition(b";")[0]
        if media_type.strip().lower() != b"application/json":
            return refusal(415, "type", "expected Content-Type: application/json")
        return _refused_length(request)

    def _admits(self, request: Request) -> bool:
        """Tell whether the token is valid, in the same time for every wrong one."""
        fields = request.headers.values(b"authorization")
        scheme, _, token = (fields[0] if len(fields) == 1 else b"").partition(b" ")
        given = _digest(token.strip())
        right = [compare_digest(given, digest) for digest in self._digests]  # all of them, always
        return any(right) and scheme.lower() == b"bearer"


def refusal(status: int, reason: str, message: str, *fields: tuple[bytes, bytes]) -> Refusal:
    """Make a refusal."""
    return Refusal(reason, _answer(status, {"error": message}, *fields))


def _bodiless(refused: Refusal) -> Refusal:
    return Refusal(refused.reason, replace(refused.answer, body=b""))


def answer_json(result: Mapping[str, Any]) -> Answer:
    """Return a purge's result, or a preview, as JSON; a queued purge is accepted, not done."""
    return _answer(202 if result.get("status") == "queued" else 200, result)


def _answer(status: int, document: Mapping[str, Any], *fields: tuple[bytes, bytes]) -> Answer:
    body = json.dumps(document).encode("ascii") + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *fields,
    ]
    return Answer(status=status, headers=headers, body=body)


def _digest(token: bytes) -> bytes:
    return blake2b(token, digest_size=32).digest()


def _refused_length(request: Request) -> Refusal | None:
    lengths = request.headers.values(b"content-length")
    if not lengths:
        return None
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _DIGITS:
        return refusal(400, "body", "expected one Content-Length, a number of at most 20 digits")
    return _too_large() if int(lengths[0]) > MAX_BODY else None


def _too_large() -> Refusal:
    return refusal(413, "size", f"an order has at most {MAX_BODY} bytes")


def _of_purge(request: Request) -> Order | Refusal:
    fields = request.headers
    soft = any(fields.first(name) == b"1" for name in _SOFTLY)
    lines = [value for name in _TAG_FIELDS for value in fields.values(name)]
    if lines:
        text = b",".join(lines).decode("utf-8", "surrogateescape")
        tags = tuple(filter(None, _DIVIDERS.split(text)))
        if not tags:
            return refusal(400, "words", "the header names no tag")
        return Order(tags=tags, soft=soft)
    if not is_host(request):
        return refusal(400, "words", "expected exactly one well-formed Host header")
    urls = _urls(request)
    if not urls:
        return refusal(400, "words", "only a path can be purged")
    return Order(urls=urls, soft=soft)


def _urls(request: Request) -> tuple[str, ...]:
    """Return the URLs by which entries may know what a request names, as `Cache.purge` reads them."""
    host = normalised_host(host_of(request).decode("ascii"))
    # The key holds the raw bytes of the query, so it must not be quoted.
    query = request.query.decode("utf-8", "surrogateescape")
    end = f"?{query}" if query else ""
    paths = (quote(path, errors="surrogateescape") for path in paths_of(request))
    return tuple(f"//{host}{path}{end}" for path in paths)


def _of_json(request: Request) -> Order | Refusal:
    content = request.content
    if content is None or content.fault is not None:
        if content is not None and content.fault == "body-limit":
            return _too_large()
        return refusal(400, "body", "the body is incomplete, or has no length")
    try:
        order = _read_order(content.data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return refusal(400, "body", f"the body is not a valid order in JSON: {error}")
    named = order.tags or order.urls or order.routes
    if order.everything and named:
        return refusal(400, "words", "`everything` cannot be combined with tags, urls or routes")
    if not order.everything and not named:
        return refusal(400, "words", "name at least one of tags, urls and routes, or everything")
    return order
