"""The parsers of single values. Each raises ValueError with a complete message.

A message says what was expected and what was found. The messages of secrets never show the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from cachemw.config.syntax import units
from cachemw.config.syntax.decode import Parser, list_of
from cachemw.config.syntax.dependencies import parse_node
from cachemw.config.syntax.flag import parse_flag, parse_holdout
from cachemw.config.syntax.hosts import read_webhook
from cachemw.config.syntax.messages import did_you_mean, either, show
from cachemw.config.syntax.template import parse_tag, parse_template
from cachemw.errors import Problem

__all__ = [
    "BODIED_METHODS",
    "BODY",
    "CLIENT_DIRECTIVES",
    "CONSISTENCY",
    "ENDPOINT_PATH",
    "FIELD_NAMES",
    "FLAG",
    "FRACTION",
    "FUNCTION",
    "HOLDOUT",
    "IDENTITY",
    "IGNORED_PARAMETERS",
    "KEY",
    "LEVEL",
    "METHODS",
    "MOUNT",
    "NAMESPACE",
    "NODES",
    "PARAMETERS",
    "PATH",
    "PATH_OR_SWITCH",
    "PERSISTED_QUERIES",
    "POLL",
    "PROVIDER",
    "RESPONSE_FIELDS",
    "RISK",
    "RISKS",
    "RISK_KEY",
    "ROUTE_NAME",
    "SECRET",
    "SECRETS",
    "TAGS",
    "TARGETED_NAMES",
    "TEMPLATE",
    "TOKEN",
    "TOKENS",
    "TTL",
    "VOLATILE",
    "WEBHOOK",
    "boolean",
    "choice",
    "duration",
    "integer",
    "matching",
    "names",
    "node",
    "positive_duration",
    "positive_size",
    "size",
]

T = TypeVar("T")

RISKS = ("low", "medium", "high")
BODIED_METHODS = frozenset({"POST", "QUERY"})
"""Methods whose request body is part of the key."""

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 §5.6.2
"""The pattern of names of headers and cookies."""
_DOTTED = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_SECRET_LENGTH = 16
"""Characters: 64 random bits, even if all of them are hexadecimal digits."""
_TAG_LENGTH = 256
_SHORTEST_POLL = 0.01
_REFUSED_VARY = {
    "*": "an answer that varies on * can never be reused: remove the route",
    "cookie": "list the cookies the route reads in `cookies` instead",
    "authorization": "write a function that returns who is asking as `identity` instead",
    "host": "the host is always part of the key: leave it out",
    "range": "parts are made from the whole stored answer: leave it out",
}


def _string(value: object, expects: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {expects}, got {show(value)}")
    return value


def text(expects: str) -> Parser[str]:
    """Return the parser of a string of at least one character."""

    def parse(value: object) -> str:
        if not _string(value, expects):
            raise ValueError(f"expected {expects}, got an empty string")
        return str(value)

    return Parser(parse, expects)


def matching(pattern: str, expects: str) -> Parser[str]:
    """Return the parser of a string that a pattern must match as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(value: object) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(f"expected {expects}, got {show(value)}")
        return value

    return Parser(parse, expects)


def choice(*allowed: str) -> Parser[str]:
    """Return the parser of one of a few words."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
            raise ValueError(f"expected {either(allowed)}, got {show(value)}{hint}")
        return value

    return Parser(parse, either(allowed))


def key_of(what: str, allowed: Iterable[str]) -> Callable[[str], None]:
    """Return a check that a key of a table is one of the allowed names."""
    allowed = tuple(allowed)

    def check(name: str) -> None:
        if name not in allowed:
            raise ValueError(
                f"{show(name)} is not a {what}: expected {either(allowed)}"
                f"{did_you_mean(name, allowed)}"
            )

    return check


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {show(value)}")
    return value


boolean = Parser(_boolean, "true or false")


def _fraction(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ValueError(f"expected a number above 0 and up to 1, such as 0.1, got {show(value)}")
    return float(value)


FRACTION = Parser(_fraction, "a number above 0 and up to 1")


def integer(minimum: int, maximum: int | None = None) -> Parser[int]:
    """Return the parser of a whole number from `minimum` to `maximum`, both included."""
    bounds = f"from {minimum} to {maximum}" if maximum is not None else f"of at least {minimum}"
    expects = f"a whole number {bounds}"

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise ValueError(f"expected {expects}, got {show(value)}")
        if maximum is not None and value > maximum:
            raise ValueError(f"expected {expects}, got {show(value)}")
        return value

    return Parser(parse, expects)


def _positive(parse: Callable[[object], T], what: str) -> Parser[T]:
    def checked(value: object) -> T:
        read = parse(value)
        if not read:
            raise ValueError(f"expected {what} above zero, got {show(value)}")
        return read

    return Parser(checked, f"{what} above zero")


duration = Parser(units.duration, "a duration")
positive_duration = _positive(units.duration, "a duration")
size = Parser(units.size, "a size")
positive_size = _positive(units.size, "a size")


def _poll(value: object) -> float:
    seconds = units.duration(value)
    # Redis takes the time of a blocking read in whole milliseconds, and 0 means "without end".
    if seconds < _SHORTEST_POLL:
        raise ValueError(f"expected a duration of at least 10ms, got {show(value)}")
    return seconds


POLL = Parser(_poll, "a duration of at least 10ms")


def _ttl(value: object) -> float | Literal["response"]:
    if value == "response":
        return "response"
    try:
        return units.duration(value)
    except ValueError:
        raise ValueError(
            f'expected a duration such as "30s" or "5m", or "response", got {show(value)}{units.meant(value)}'
        ) from None


TTL = Parser(_ttl, 'a duration or "response"')


def _template(value: object) -> str:
    path = _string(value, 'a path such as "/products/{id}"')
    parse_template(path)
    return path


TEMPLATE = Parser(_template, "a path template")


def _path(value: object) -> str:
    path = text("the path of a file")(value)
    if "\0" in path:  # no operating system allows it
        raise ValueError(f"expected the path of a file, got {show(path)}")
    return path


PATH = Parser(_path, "the path of a file")


def _path_or_switch(value: object) -> str | bool:
    if isinstance(value, bool):
        return value
    switch = {"on": True, "true": True, "off": False, "false": False}
    path = _path(value)
    return switch.get(path.lower(), path)


PATH_OR_SWITCH = Parser(_path_or_switch, "true, false, or the path of a file")


def _secret(value: object) -> str:
    expects = f"at least {_SECRET_LENGTH} characters"
    if not isinstance(value, str):
        raise ValueError(f"expected {expects}, got a value that is not a string")
    if len(value) < _SECRET_LENGTH:
        raise ValueError(f"expected {expects}, got {len(value)}")
    return value


def _distinct(secrets: list[str]) -> list[Problem]:
    """Return the problems of a list of secrets, without showing any of them."""
    if not secrets:
        return [Problem("", "expected at least one, got an empty list")]
    return [
        Problem(f"[{i}]", "is listed twice")
        for i, each in enumerate(secrets)
        if each in secrets[:i]
    ]


def _one_or_several(secret: Parser[str]) -> Parser[tuple[str, ...]]:
    """Return the parser of a secret, or of a list of secrets."""

    def parse(value: object) -> tuple[str, ...]:
        if isinstance(value, (list, tuple)):
            return list_of(secret, check=_distinct)(value)
        return (secret(value),)

    return Parser(parse, f"{secret.expects}, or a list of these")


def _bearer_token(value: object) -> str:
    token = _secret(value)
    if not _BEARER.fullmatch(token):  # a header could not carry it
        raise ValueError(
            "expected only letters, digits and -._~+/ with = at the end, got other characters"
        )
    return token


_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1

SECRET = Parser(_secret, f"at least {_SECRET_LENGTH} characters")
SECRETS = _one_or_several(SECRET)
TOKENS = _one_or_several(
    Parser(_bearer_token, f"at least {_SECRET_LENGTH} letters, digits or -._~+/")
)
ENDPOINT_PATH = matching(r"/[A-Za-z0-9._~/-]+", 'a plain path such as "/.cachemw/purge"')
WEBHOOK = Parser(read_webhook, "an http:// or https:// URL")  # a secret, so it is never shown
RISK = choice(*RISKS)
FLAG = Parser(parse_flag, '"on", "off", "shadow" or a share of keys such as "canary 10%"')
HOLDOUT = Parser(parse_holdout, 'a share of requests such as "2%"')
CONSISTENCY = choice("bounded", "strict")
LEVEL = choice("debug", "info", "warning", "error")
KEY = matching("[A-Za-z0-9_.-]{1,64}", "1 to 64 letters, digits, dots, dashes or underscores")
ROUTE_NAME = matching(
    "[A-Za-z0-9_.-]{1,100}", "1 to 100 letters, digits, dots, dashes or underscores"
)
IDENTITY = matching(
    f"{_DOTTED}(?::{_DOTTED})?", 'a function such as "module:function", or a registered name'
)

PROVIDER = matching(
    f"{_DOTTED}:{_DOTTED}", 'a credential provider to import, such as "module:name"'
)
FUNCTION = matching(f"{_DOTTED}:{_DOTTED}", 'a function to import, such as "module:function"')


def names(item: Parser[str], *, at_least: int = 0) -> Parser[tuple[str, ...]]:
    """Return the parser of a list of names, each of them once."""

    def check(items: list[str]) -> list[Problem]:
        if len(items) < at_least:
            return [Problem("", "expected at least one, got an empty list")]
        return [
            Problem(f"[{i}]", f"{show(each)} is listed twice")
            for i, each in enumerate(items)
            if each in items[:i]
        ]

    return list_of(item, check=check)


def _method(value: object) -> str:
    if value not in ("GET", "HEAD", "POST", "QUERY"):
        raise ValueError(f"only GET, HEAD, POST and QUERY can be cached, got {show(value)}")
    return str(value)


def _parameter(value: object) -> str:
    name = text("the name of a query parameter")(value)
    if "*" in name:
        raise ValueError(f"{show(name)} must be an exact name: only `ignore_query` allows *")
    return name


def _ignored_parameter(value: object) -> str:
    name = text('the name of a query parameter, or a start such as "utm_*"')(value)
    if "*" in name[:-1]:
        raise ValueError(f"{show(name)} may have * only at its end")
    return name


def _field_name(value: object) -> str:
    name = matching(TOKEN, 'the name of a request header such as "Accept-Language"')(value).lower()
    if advice := _REFUSED_VARY.get(name):
        raise ValueError(f"{show(value)} cannot be listed: {advice}")
    return name


def _targeted_name(value: object) -> str:
    expects = 'the name of a response header such as "CDN-Cache-Control"'
    name = matching(TOKEN, expects)(value).lower()
    if name == "cache-control":
        raise ValueError(
            f"{show(value)} counts anyway if no listed header is present: leave it out"
        )
    return name


def _tag(value: object) -> str:
    tag = matching(r"[!-+\--~]+", "a tag of visible ASCII without spaces and commas")(value)
    if len(tag) > _TAG_LENGTH:
        raise ValueError(f"expected a tag of at most {_TAG_LENGTH} characters, got {len(tag)}")
    parse_tag(tag)
    return tag


def node(name: str) -> None:
    """Check a tag on the left of `dependencies`. Raises ValueError."""
    parse_node(name)


BODY = choice("raw", "graphql")
PERSISTED_QUERIES = choice("mutation", "query")
CLIENT_DIRECTIVES = choice("ignore", "honour")
RISK_KEY = key_of("risk class", RISKS)
NAMESPACE = matching("[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, dashes or underscores")
MOUNT = matching(r"(?:/[^/?#]+)*", 'a mount such as "/api", or "" for none')
METHODS = names(Parser(_method, '"GET", "HEAD", "POST", "QUERY"'))
PARAMETERS = names(Parser(_parameter, "names of query parameters"))
IGNORED_PARAMETERS = names(Parser(_ignored_parameter, 'names, which may end in "*"'))
FIELD_NAMES = names(Parser(_field_name, "names of request headers"))
TARGETED_NAMES = names(Parser(_targeted_name, "names of response headers"))
TAGS = names(Parser(_tag, "tags, which may hold parameters of the path and query, and headers"))
RESPONSE_FIELDS = names(
    Parser(lambda value: _field_name(value).lower(), "names of response headers")
)


def _volatile(value: object) -> str:
    expects = 'a response header, or a JSON path such as "$.items[*].age"'
    text = matching(rf"{TOKEN}|\$.+", expects)(value)
    if text.startswith("$") and not re.fullmatch(
        r"\$(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[(?:\*|\d+)\])+", text, re.ASCII
    ):
        raise ValueError(f"expected {expects}, got {show(value)}")
    return text


VOLATILE = names(Parser(_volatile, "response headers, and JSON paths"))
NODES = names(Parser(parse_node, "tags"), at_least=1)
