"""Purging by HTTP, without the I/O: from a request to an order or a refusal, and from a result to an answer.

    PURGE /products/17?page=2                        this URL on this host
    PURGE /  with  Cache-Tag: product:17, catalog    these tags instead; Surrogate-Key does the same
    POST /.cachemw/purge  {"tags": [...], ...}       what the JSON says: the fields of `Order`

The rules, in this order:

1. where no token is configured there is no endpoint, and everything is the application's;
2. any other method on any other path is the application's;
3. without one token that is right: 401, the same answer whatever was wrong, and nothing else is
   looked at, so that it says nothing of what there is;
4. on the path, what is not a POST of JSON of a bounded length is refused before it is read;
5. what the words themselves are worth (tags, URLs, routes) is for `Cache.purge` to say.
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
from cachemw.engine.model.bypass import is_host, normalised_host
from cachemw.http.messages import Answer, Request

__all__ = ["MAX_BODY", "Order", "PurgeEndpoint", "Refusal", "answer_json", "endpoint_of", "refusal"]

MAX_BODY = 64 * 1024
"""Bytes of an order: a thousand tags."""

_METHOD = "PURGE"
_SOFTLY = (b"cachemw-soft-purge", b"fastly-soft-purge")
_TAG_FIELDS = (b"cache-tag", b"surrogate-key")
_DIVIDERS = re.compile(r"[,\s]+")
"""As in an answer's own fields: commas in Cache-Tag, spaces in Surrogate-Key, and no tag has either."""
_IN_PATH = bytes({*range(0x21, 0x7F)} - {*b"?#"})
_DIGITS = 20
"""Of a length; int() refuses thousands of them."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be purged, in the words of `Cache.purge`."""

    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    everything: bool = False
    soft: bool = False
    dry_run: bool = False
    """Whether it is only to be said what a purge would touch."""

    @property
    def words(self) -> dict[str, Any]:
        """What `Cache.purge` and `Cache.preview` are both to be called with."""
        names = ("tags", "urls", "routes", "everything")
        return {name: getattr(self, name) for name in names}


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing is purged: a short, stable word to be counted, and what the client hears."""

    reason: str
    answer: Answer


_read_order = msgspec.json.Decoder(Order).decode


def endpoint_of(config: EndpointSettings) -> PurgeEndpoint | None:
    """Give the endpoint that a configuration switches on, if it does."""
    return PurgeEndpoint(config.token, config.path) if config.token else None


class PurgeEndpoint:
    """Takes orders from whoever has a token."""

    def __init__(self, tokens: tuple[str, ...], path: str) -> None:
        self._digests = [_digest(token.encode("ascii")) for token in tokens]
        self._path = path

    def matches(self, request: Request) -> bool:
        """Say whether a request is for the endpoint, and not for the application."""
        return request.method == _METHOD or request.path == self._path

    def reads_body(self, request: Request) -> bool:
        """Say whether the request's body is to be read, up to `MAX_BODY`, before it is put to `order`."""
        return request.method != _METHOD and self._refused(request) is None

    def order(self, request: Request) -> Order | Refusal:
        """Give what a request orders."""
        refused = self._refused(request)
        if refused is not None:
            return _bodiless(refused) if request.method == "HEAD" else refused
        return _of_purge(request) if request.method == _METHOD else _of_json(request)

    def _refused(self, request: Request) -> Refusal | None:
        """Refuse by the head alone, or give None."""
        if not self._admits(request):
            pair = (b"www-authenticate", b"Bearer")
            return refusal(401, "token", "a bearer token is required", pair)
        if request.method == _METHOD:
            return None
        if request.method != "POST":
            return refusal(405, "method", "only POST is taken here", (b"allow", b"POST"))
        media_type = (request.headers.first(b"content-type") or b"").partition(b";")[0]
        if media_type.strip().lower() != b"application/json":
            return refusal(415, "type", "expected Content-Type: application/json")
        return _refused_length(request)

    def _admits(self, request: Request) -> bool:
        """Say whether one token is there and right; takes as long for any that is wrong."""
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
        return refusal(400, "body", "the length of the body cannot be read")
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
            return refusal(400, "words", "the field of tags names none")
        return Order(tags=tags, soft=soft)
    if not is_host(request):
        return refusal(400, "words", "there is not exactly one well-formed Host")
    if not request.raw_path.startswith(b"/"):
        return refusal(400, "words", "only a path can be purged")
    return Order(urls=(_url(request),), soft=soft)


def _url(request: Request) -> str:
    """Give the URL that a request names, as `Cache.purge` reads it."""
    path = request.mount.encode("utf-8", "surrogateescape") + request.raw_path
    url = f"//{normalised_host(request).decode('ascii')}{quote(path, safe=_IN_PATH)}"
    # The query is keyed as it came, byte by byte, so it may not be quoted.
    query = request.query.decode("utf-8", "surrogateescape")
    return f"{url}?{query}" if query else url


def _of_json(request: Request) -> Order | Refusal:
    content = request.content
    if content is None or content.fault is not None:
        if content is not None and content.fault == "body-limit":
            return _too_large()
        return refusal(400, "body", "the body did not come whole, or has no length")
    try:
        order = _read_order(content.data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return refusal(400, "body", f"the body is no order in JSON: {error}")
    named = order.tags or order.urls or order.routes
    if order.everything and named:
        return refusal(400, "words", "`everything` takes no tags, urls or routes beside it")
    if not order.everything and not named:
        return refusal(400, "words", "name at least one of tags, urls and routes, or everything")
    return order
