"""What of a request selects an answer: Vary, negotiation, lists, cookies, the query, screening."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

from msgspec.structs import replace

from cachemw.engine.model.query import query_reader
from cachemw.engine.privacy.bypass import (
    CONDITIONAL,
    bypass_reason,
    host_of,
    is_host,
    normalised_host,
    watched,
)
from cachemw.engine.request.keying import Rewrite
from cachemw.frontdoor.wsgi_environ import EnvironReader, apply_rewrite, native, raw_target
from cachemw.http.fields import Fields, cookie_pairs, split_list
from cachemw.http.messages import Request
from cachemw.http.negotiation import normalised
from cachemw.http.vary import is_coded, naming_coding, selecting, varies_on

from .inputs import fields, repeated, sections, text

__all__ = [
    "fuzz_cookies",
    "fuzz_environ",
    "fuzz_fields",
    "fuzz_negotiation",
    "fuzz_query",
    "fuzz_screen",
    "fuzz_vary",
]

_NAME = re.compile(rb"[a-z0-9_-]+")
_COOKIES = frozenset({"lang", "a b"})
_LISTED, _IGNORED = ("a", "b"), ("utm_*", "gclid")
_READERS = (query_reader(_LISTED, ()), query_reader(None, _IGNORED), query_reader(None, ()))
_WATCHED = watched(frozenset({b"x-declared"}), honours=True)
_ENVIRONS = EnvironReader(_WATCHED.names)


def fuzz_fields(data: bytes) -> None:
    """A head: its lists, and what is taken out of it and put to it."""
    given = fields(data)
    for name in given.names:
        values = [value for key, value in given if key == name]
        assert (given.first(name), given.values(name)) == (values[0], values)
        members = list(given.members(name))
        assert members == [member for value in values for member in split_list(value)]
        rest = given.without((name,))
        assert name not in rest
        assert len(rest) == len(given) - len(values)
        assert rest.plus((name, b"x")).values(name) == [b"x"]
    for value in data.split(b"\n"):
        members = list(split_list(value))
        assert all(member and member == member.strip() for member in members)
        assert list(split_list(b", ".join(members))) == members


def fuzz_vary(data: bytes) -> None:
    """A response's head, and a request's."""
    response, request = map(fields, sections(data, 2))
    names = varies_on(response)
    told = b",".join(response.values(b"vary")).lower().split(b",")
    if names is None:
        return
    assert b"*" not in {name.strip() for name in told}
    assert (b"accept-encoding" in names) >= is_coded(response)
    named = naming_coding(response)
    assert varies_on(named) == names
    assert naming_coding(named) == named
    assert list(names) == sorted(set(names))
    chosen = selecting(names, request)
    assert [(name, value is not None) for name, value in chosen] == [
        (name, name in request) for name in names
    ]
    again = Fields([(name, value) for name, value in chosen if value is not None])
    assert selecting(names, again) == chosen


def fuzz_negotiation(data: bytes) -> None:
    """A field's name in the first line, its value in the rest."""
    name, _, value = data.partition(b"\n")
    once = normalised(name, value)
    assert normalised(name, once) == once
    if name.startswith(b"accept") and once != value:
        assert normalised(name, b" " * 600 + value) == once  # beyond what is remembered, too


def fuzz_cookies(data: bytes) -> None:
    """Every line is one Cookie line."""
    found = cookie_pairs(repeated(b"cookie", data).values(b"cookie"), _COOKIES)
    for name, _ in found:
        sent = name.decode("latin-1")
        assert sent in _COOKIES or unquote(sent) in _COOKIES
    again = b"; ".join(name + b"=" + value for name, value in found)
    assert cookie_pairs([again], _COOKIES) == found
    assert cookie_pairs([data, b"lang=x"], _COOKIES)[-1] == (b"lang", b"x")


def fuzz_query(data: bytes) -> None:
    """A query."""
    for read in _READERS:
        once = read(data)
        assert read(once) == once
        assert set(once.split(b"&")) <= {*data.split(b"&"), b""}
    assert _READERS[2](data) == data
    listed = _seen(_READERS[0](data))
    assert {name for name, _ in listed} <= set(_LISTED)
    for name in _LISTED:
        mine = [pair for pair in _seen(data) if pair[0] == name]
        assert [pair for pair in listed if pair[0] == name] == mine
    assert not any(name.startswith("utm_") for name, _ in _seen(_READERS[1](data)))


def _seen(query: bytes) -> list[tuple[str, str]]:
    """Read a query as a framework does."""
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="replace")


def fuzz_screen(data: bytes) -> None:
    """A path as it came over the wire in the first line, then a request's head."""
    path, _, head = data.partition(b"\n")
    request = _request(path, fields(head))
    reason = bypass_reason(request, _WATCHED.suspicious)
    if not is_host(request):
        assert reason is not None
        return
    name = normalised_host(host_of(request).decode("ascii"))
    assert name in (name.lower(), normalised_host(f"{name.upper()}.:443"))
    if reason is None:
        assert not any(b"_" in name for name in _WATCHED.suspicious & request.headers.names)
        assert b"%2f" not in path.lower()
        assert b"transfer-encoding" not in request.headers
        assert (request.headers.first(b"content-length") or b"0").strip() == b"0"


def _request(path: bytes, headers: Fields) -> Request:
    return Request(
        method="GET",
        scheme="https",
        mount="",
        path=text(path),
        raw_path=path,
        query=b"",
        headers=headers,
    )


def fuzz_environ(data: bytes) -> None:
    """A request target in the first line, then a head: what a WSGI server makes of them."""
    target, _, head = data.partition(b"\n")
    given = Fields([pair for pair in fields(head) if _NAME.fullmatch(pair[0])])
    environ = _environ(target, given)
    request = _ENVIRONS.request(environ, "https", raw_target(environ))
    sent = {name.replace(b"_", b"-") for name in given.names}
    assert request.headers.names - {b"content-type", b"content-length"} <= sent
    assert set(_ENVIRONS.watched(environ) or ()) <= set(request.headers)
    if not target.startswith(b"/"):  # goes past the cache, as it is
        return
    reduced = Rewrite(
        query=_READERS[0](request.query), headers=request.headers.without(CONDITIONAL)
    )
    apply_rewrite(environ, reduced)
    seen = _ENVIRONS.request(environ, "https", raw_target(environ))
    assert (seen.headers, seen.query) == (reduced.headers, reduced.query)
    assert replace(seen, headers=request.headers, query=request.query) == request
    assert len(native(list(given))) == len(given)


def _environ(target: bytes, head: Fields) -> dict[str, object]:
    path, _, query = target.partition(b"?")
    environ: dict[str, object] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path.decode("latin-1"), "latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "RAW_URI": target.decode("latin-1"),
    }
    for name in head.names:
        variable = name.decode("latin-1").upper().replace("-", "_")
        bare = variable in ("CONTENT_TYPE", "CONTENT_LENGTH")
        value = b",".join(head.values(name)).decode("latin-1")
        environ[variable if bare else f"HTTP_{variable}"] = value
    return environ
