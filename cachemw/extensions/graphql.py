"""GraphQL requests and responses: the kind of operation, and whether there are errors.

A request counts as a query only where that is certain: one document that parses, in it exactly one
operation that would run, and nothing beside it that a server might run instead (the identifier of a
persisted query, a second `query` in the URL). A request that cannot be read and contains the word
`mutation` counts as a mutation, because the server's parser may accept more than ours. That costs a
purge; the opposite mistake would leave old responses in the cache (I5).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from cachemw.config import Config
from cachemw.engine.model.routes import Language, Operation
from cachemw.errors import ConfigError, Problem
from cachemw.http.fields import Fields
from cachemw.http.messages import Head, Request

__all__ = ["GraphQL", "resolve_languages"]

_MEMBERS = frozenset({"query", "operationName", "variables", "extensions"})
"""The parameters of a request (GraphQL over HTTP, draft, section 5)."""
_ANSWERS = frozenset({"application/json", "application/graphql-response+json"})
_MAX_TOKENS = 5000
"""Most tokens of a document that is parsed (I4). Parsing takes about 5 µs a token, in an event loop too;
few documents have a thousand."""
_MEMO_SIZE = 2048
"""Documents whose operation is remembered, in each of two generations. The keys are digests, because a
document may have 64 KiB."""


def resolve_languages(config: Config) -> dict[str, Language]:
    """Return the reader of every language that routes name; raises ConfigError if it is not installed."""
    for index, route in enumerate(config.routes):
        if route.body == "graphql":
            _require_graphql(index)
            return {"graphql": GraphQL()}
    return {}


def _require_graphql(index: int) -> None:
    try:
        import graphql  # noqa: F401
    except ImportError as error:
        message = 'needs graphql-core: pip install "cachemw[graphql]"'
        raise ConfigError([Problem(f"routes[{index}].body", message)]) from error


class _GraphQLRequest(NamedTuple):
    document: str
    name: str | None
    """The name of the operation to run; None where the document has only one."""


class _ResponseBody(msgspec.Struct):
    errors: Any = None


class GraphQL:
    """Reader of GraphQL requests and responses. It remembers the operation of each document."""

    def __init__(self) -> None:
        self._young: dict[bytes, Operation] = {}
        self._old: dict[bytes, Operation] = {}
        self._decoder = msgspec.json.Decoder(_ResponseBody)

    def operation(self, request: Request, query: bytes) -> Operation:
        """Return the kind of operation of a request; `query` is the URL's, as the application sees it."""
        try:
            read = _read(request, query)
        except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested too deep
            read = None
        return _suspected(request) if read is None else self._operation(read)

    def is_whole(self, head: Head, body: bytes) -> bool:
        """Tell whether a response can be read, and reports no error."""
        if b"content-encoding" in head.headers or _media_type(head.headers) not in _ANSWERS:
            return False
        try:
            return not self._decoder.decode(body).errors
        except (msgspec.MsgspecError, RecursionError):
            return False

    def _operation(self, read: _GraphQLRequest) -> Operation:
        digest = blake2b(repr(read).encode(), digest_size=32).digest()
        operation = self._young.get(digest) or self._old.get(digest)
        if operation is None:
            operation = _parsed(read)
            if len(self._young) >= _MEMO_SIZE:
                self._old, self._young = self._young, {}
            self._young[digest] = operation
        return operation


def _read(request: Request, query: bytes) -> _GraphQLRequest | None:
    """Return the document of a request; None where it is not sure which one a server would run.

    Raises ValueError or RecursionError for a body that is not of the type that it claims.
    """
    parameters = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    if request.content is None:
        return _from_members(_once(parameters))
    if not _MEMBERS.isdisjoint(name for name, _ in parameters):
        return None  # servers differ in which they use: the body, or the URL
    if b"content-encoding" in request.headers:
        return None
    kind = _media_type(request.headers)
    text = request.content.data.decode("utf-8")
    if kind == "application/graphql":
        return _GraphQLRequest(text, None)
    if kind != "application/json":
        return None
    members = json.loads(text, object_pairs_hook=_once)
    return _from_members(members) if isinstance(members, dict) else None


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict of pairs.

    Raises ValueError for a repeated name: parsers differ in which one counts.
    """
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"{name!r} is given twice")
        members[name] = value
    return members


def _from_members(members: dict[str, Any]) -> _GraphQLRequest | None:
    document, name = members.get("query"), members.get("operationName")
    if not isinstance(document, str) or not isinstance(name, str | None):
        return None
    return _GraphQLRequest(document, name) if members.keys() <= _MEMBERS else None


def _media_type(fields: Fields) -> str:
    """Return the media type, in lower case and without parameters; empty where it is not in UTF-8."""
    kind, *parameters = (fields.first(b"content-type") or b"").decode("latin-1").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            return ""
    return kind.strip()


def _suspected(request: Request) -> Operation:
    """Return the operation that a request may be which cannot be read."""
    content = request.content
    if content is None:
        return "other"
    coded = b"content-encoding" in request.headers
    return "mutation" if coded or b"mutation" in content.data else "other"


def _parsed(read: _GraphQLRequest) -> Operation:
    from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

    suspected: Operation = "mutation" if "mutation" in read.document else "other"
    try:
        definitions = parse(read.document, no_location=True, max_tokens=_MAX_TOKENS).definitions
    except Exception:  # also a fault of the parser itself (I3)
        return suspected
    operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
    fragments = [each for each in definitions if isinstance(each, FragmentDefinitionNode)]
    if len(operations) + len(fragments) < len(
        definitions
    ):  # type definitions, which no request has
        return "other"
    if read.name is not None:
        operations = [each for each in operations if each.name and each.name.value == read.name]
    if len(operations) != 1:
        return suspected
    kind = operations[0].operation.value
    return "query" if kind == "query" else "mutation" if kind == "mutation" else "other"
