"""GraphQL requests and responses: the kind of operation, and whether there are errors.

A request counts as a query only where that is certain: one document that parses, in it exactly one
operation that would run, and nothing beside it that a server might run instead (the identifier of a
persisted query, a second `query` in the URL).

Whatever is not certain counts as a mutation: another encoding or media type, a member that is given twice,
a document that does not parse. The server's parser may accept more than ours, and the word `mutation` can be
written so that no search finds it. That costs a purge; the opposite mistake would leave old responses in
the cache (I5). A request that names a persisted query, and has no text, counts as what its route says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
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
_IDENTIFIERS = frozenset({"documentId", "id", "queryId", "doc_id"})
"""The parameters that name a persisted query: in the draft's appendix A, and what Relay's and other
clients send."""
_RUN = _MEMBERS | _IDENTIFIERS
_ANSWERS = frozenset({"application/json", "application/graphql-response+json"})
_MAX_TOKENS = 5000
"""Most tokens of a document that is parsed (I4). Parsing takes about 5 µs a token, in an event loop too;
few documents have a thousand."""
_MAX_DOCUMENT = 131_072
"""Most characters of a document that is parsed (I4): strings and comments of any length are one token."""
_MAX_BATCH = 20
"""Most requests of a batch that are read (I4)."""
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


class _Unread(Enum):
    """Requests without a document that can be read."""

    UNCERTAIN = "uncertain"
    PERSISTED = "persisted"
    """It names a persisted query."""
    NOTHING = "nothing"
    """There is nothing to run, as in a request for the page of a GraphQL editor."""


class _ResponseBody(msgspec.Struct):
    errors: Any = None


class GraphQL:
    """Reader of GraphQL requests and responses. It remembers the operation of each document."""

    def __init__(self) -> None:
        self._young: dict[bytes, Operation] = {}
        self._old: dict[bytes, Operation] = {}
        self._decoder = msgspec.json.Decoder(_ResponseBody)

    def operation(
        self, request: Request, query: bytes, *, persisted: Operation = "mutation"
    ) -> Operation:
        """Return the kind of operation of a request; `query` is the URL's, as the application sees it.

        `persisted` is the kind of those that name a persisted query and have no text.
        """
        try:
            read = _read(request, query)
            if not isinstance(read, list):
                return self._operation(read, persisted)
            kinds = {self._operation(_from_members(each), persisted) for each in read}
        except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested too deep
            return "mutation"
        # A batch is never cached, so it matters only whether one of its requests is a mutation.
        return "mutation" if "mutation" in kinds else "other"

    def is_whole(self, head: Head, body: bytes) -> bool:
        """Tell whether a response can be read, and reports no error."""
        if b"content-encoding" in head.headers or _media_type(head.headers) not in _ANSWERS:
            return False
        try:
            return not self._decoder.decode(body).errors
        except (msgspec.MsgspecError, RecursionError):
            return False

    def _operation(self, read: _GraphQLRequest | _Unread, persisted: Operation) -> Operation:
        if isinstance(read, _Unread):
            if read is _Unread.PERSISTED:
                return persisted
            return "mutation" if read is _Unread.UNCERTAIN else "other"
        digest = blake2b(repr(read).encode(), digest_size=32).digest()
        operation = self._young.get(digest) or self._old.get(digest)
        if operation is None:
            operation = _parsed(read)
            if len(self._young) >= _MEMO_SIZE:
                self._old, self._young = self._young, {}
            self._young[digest] = operation
        return operation


def _read(request: Request, query: bytes) -> _GraphQLRequest | _Unread | list[Any]:
    """Return what a server would run for a request; a list of members for a batch.

    Raises ValueError or RecursionError for a body that is not of the type that it claims.
    """
    parameters = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    if request.content is None:
        return _from_url(_once(parameters)) if query else _Unread.NOTHING
    if not _RUN.isdisjoint(name for name, _ in parameters):
        return _Unread.UNCERTAIN  # servers differ in which they use: the body, or the URL
    if b"content-encoding" in request.headers:
        return _Unread.UNCERTAIN
    kind = _media_type(request.headers)
    text = request.content.data.decode("utf-8")
    if kind == "application/graphql":
        return _GraphQLRequest(text, None)
    if kind != "application/json":
        return _Unread.UNCERTAIN
    members = json.loads(text, object_pairs_hook=_once)
    if isinstance(members, list) and len(members) <= _MAX_BATCH:
        return members
    return _from_members(members)


def _from_url(parameters: dict[str, Any]) -> _GraphQLRequest | _Unread:
    """Read the parameters of a GET, in which extensions are a text of JSON."""
    if "extensions" in parameters:
        extensions = json.loads(parameters["extensions"], object_pairs_hook=_once)
        parameters["extensions"] = extensions
    return _from_members(parameters)


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


def _from_members(members: object) -> _GraphQLRequest | _Unread:
    if not isinstance(members, dict):
        return _Unread.UNCERTAIN
    document, name = members.get("query"), members.get("operationName")
    if not isinstance(name, str | None):
        return _Unread.UNCERTAIN
    if isinstance(document, str) and members.keys() <= _MEMBERS:
        return _GraphQLRequest(document, name)
    return _Unread.PERSISTED if _is_persisted(members) else _Unread.UNCERTAIN


def _is_persisted(members: dict[str, Any]) -> bool:
    """Tell whether a request names one persisted query, and has no text that could run instead."""
    if "query" in members or not members.keys() <= _RUN:
        return False
    names = [members[name] for name in _IDENTIFIERS if name in members]
    extensions = members.get("extensions")
    if isinstance(extensions, dict) and "persistedQuery" in extensions:
        names.append(extensions["persistedQuery"])
    return len(names) == 1 and names[0] is not None


def _media_type(fields: Fields) -> str:
    """Return the media type, in lower case and without parameters; empty if that is uncertain or no UTF-8."""
    values = fields.values(b"content-type")
    if len(values) != 1:  # servers differ in which of two they use
        return ""
    kind, *parameters = values[0].decode("latin-1").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            return ""
    return kind.strip()


def _parsed(read: _GraphQLRequest) -> Operation:
    from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

    if len(read.document) > _MAX_DOCUMENT:
        return "mutation"
    try:
        definitions = parse(read.document, no_location=True, max_tokens=_MAX_TOKENS).definitions
    except Exception:  # also a fault of the parser itself (I3)
        return "mutation"
    operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
    fragments = [each for each in definitions if isinstance(each, FragmentDefinitionNode)]
    run = operations
    if read.name is not None:
        run = [each for each in operations if each.name and each.name.value == read.name]
    if len(run) == 1 and len(operations) + len(fragments) == len(definitions):
        kind = run[0].operation.value
        return "query" if kind == "query" else "mutation" if kind == "mutation" else "other"
    # It is not valid, or has type definitions, which no request has. A lenient server may run any of them.
    return "mutation" if any(each.operation.value == "mutation" for each in operations) else "other"
