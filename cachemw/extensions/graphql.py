"""Reading GraphQL: what a request would do, and whether an answer reports errors.

Only what is certain is called a query: one document that parses, in it one operation that would
run, and nothing beside it that a server might read instead (a persisted identifier, a second
`query` in the URL). What cannot be read and has the word in it counts as a mutation, since other
parsers may read more than ours: that costs a purge, where the opposite would leave old answers.
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
"""What a request may say, after the GraphQL-over-HTTP draft, §5."""
_ANSWERS = frozenset({"application/json", "application/graphql-response+json"})
_MAX_TOKENS = 5000
"""Parsing takes about 5 µs a token, in an event loop too; few documents have a thousand."""
_MEMO_SIZE = 2048
"""Verdicts kept in each of two generations, by digest: a document may have 64 KiB."""


def resolve_languages(config: Config) -> dict[str, Language]:
    """Give what reads the languages that routes name; raises ConfigError where it is not installed."""
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


class _Asked(NamedTuple):
    document: str
    name: str | None
    """Of the operation to run; None where there is but one."""


class _Answer(msgspec.Struct):
    errors: Any = None


class GraphQL:
    """Reads requests and answers; the verdict of a document is remembered."""

    def __init__(self) -> None:
        self._young: dict[bytes, Operation] = {}
        self._old: dict[bytes, Operation] = {}
        self._answer = msgspec.json.Decoder(_Answer)

    def operation(self, request: Request, query: bytes) -> Operation:
        """Say what a request would do; `query` is the URL's, as the application sees it."""
        try:
            asked = _asked(request, query)
        except (ValueError, RecursionError):  # no UTF-8, no JSON, or brackets without end
            asked = None
        return _suspected(request) if asked is None else self._verdict(asked)

    def is_whole(self, head: Head, body: bytes) -> bool:
        """Say whether an answer can be read, and reports no error."""
        if b"content-encoding" in head.headers or _media_type(head.headers) not in _ANSWERS:
            return False
        try:
            return not self._answer.decode(body).errors
        except (msgspec.MsgspecError, RecursionError):
            return False

    def _verdict(self, asked: _Asked) -> Operation:
        digest = blake2b(repr(asked).encode(), digest_size=32).digest()
        verdict = self._young.get(digest) or self._old.get(digest)
        if verdict is None:
            verdict = _parsed(asked)
            if len(self._young) >= _MEMO_SIZE:
                self._old, self._young = self._young, {}
            self._young[digest] = verdict
        return verdict


def _asked(request: Request, query: bytes) -> _Asked | None:
    """Read a request; raises ValueError or RecursionError for what is not what it says it is."""
    parameters = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    if request.content is None:
        return _from_members(_once(parameters))
    if not _MEMBERS.isdisjoint(name for name, _ in parameters):
        return None  # servers differ in which of the two they take
    if b"content-encoding" in request.headers:
        return None
    kind = _media_type(request.headers)
    text = request.content.data.decode("utf-8")
    if kind == "application/graphql":
        return _Asked(text, None)
    if kind != "application/json":
        return None
    members = json.loads(text, object_pairs_hook=_once)
    return _from_members(members) if isinstance(members, dict) else None


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make a mapping; raises ValueError for a name that is there twice: parsers differ in which counts."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"{name!r} is there twice")
        members[name] = value
    return members


def _from_members(members: dict[str, Any]) -> _Asked | None:
    document, name = members.get("query"), members.get("operationName")
    if not isinstance(document, str) or not isinstance(name, str | None):
        return None
    return _Asked(document, name) if members.keys() <= _MEMBERS else None


def _media_type(fields: Fields) -> str:
    """Give the media type, in lower case and without parameters; empty where it is not in UTF-8."""
    kind, *parameters = (fields.first(b"content-type") or b"").decode("latin-1").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            return ""
    return kind.strip()


def _suspected(request: Request) -> Operation:
    """Say what a request would do that cannot be read."""
    content = request.content
    if content is None:
        return "other"
    coded = b"content-encoding" in request.headers
    return "mutation" if coded or b"mutation" in content.data else "other"


def _parsed(asked: _Asked) -> Operation:
    from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

    suspected: Operation = "mutation" if "mutation" in asked.document else "other"
    try:
        definitions = parse(asked.document, no_location=True, max_tokens=_MAX_TOKENS).definitions
    except Exception:  # a fault of the parser, too, only means that it cannot be read (I3)
        return suspected
    operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
    fragments = [each for each in definitions if isinstance(each, FragmentDefinitionNode)]
    if len(operations) + len(fragments) < len(definitions):  # definitions of types
        return "other"
    if asked.name is not None:
        operations = [each for each in operations if each.name and each.name.value == asked.name]
    if len(operations) != 1:
        return suspected
    kind = operations[0].operation.value
    return "query" if kind == "query" else "mutation" if kind == "mutation" else "other"
