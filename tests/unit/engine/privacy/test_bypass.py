"""What a request may carry: bypassed, keyed or removed, in every spelling that reaches applications."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.privacy.bypass import (
    CONDITIONAL,
    KEYED,
    REMOVED,
    Watched,
    bypass_reason,
    normalised_host,
    watched,
)
from cachemw.engine.privacy.identity_headers import identity_names
from cachemw.http.fields import Fields
from cachemw.http.messages import Request
from tests.support.engine import ROUTE, Field, Kit, get

DECLARED = frozenset({b"x-declared-by-a-route"})


def noticed(*, honours: bool = False) -> Watched:
    """Return what the fast path notices, with a route that declares a header."""
    return watched(DECLARED, honours=honours)


def reason(request: Request) -> str | None:
    """Return why a request is bypassed."""
    return bypass_reason(request, noticed().suspicious)


# Who tells an application its own address by which headers. Their values end up in links and redirects.
ADDRESS = {
    "Django and Werkzeug, behind any proxy": (
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
    ),
    "gunicorn's secure_scheme_headers": (b"x-forwarded-protocol", b"x-forwarded-ssl"),
    "Apache's mod_proxy": (b"x-forwarded-server",),
    "nginx's ingress": (b"x-forwarded-scheme", b"x-original-uri", b"x-scheme"),
    "Caddy's and Traefik's forward_auth": (b"x-forwarded-uri",),
    "Kong": (b"x-forwarded-path",),
    "Azure's gateway": (b"x-original-host",),
    "IIS, and Symfony on it (CVE-2018-14773)": (b"x-original-url", b"x-rewrite-url"),
    "Microsoft's servers": (b"front-end-https",),
    "older proxies": (b"x-host", b"x-script-name", b"x-url-scheme"),
    "browsers, for CORS": (b"origin",),
    "Cloudflare and CloudFront": (b"cf-visitor", b"cloudfront-forwarded-proto"),
    "App Engine, Azure, WebLogic": (b"x-appengine-https", b"x-arr-ssl", b"wl-proxy-ssl"),
}
# Which script asks for a part of a page by which headers. A part must never be served as a page.
PARTS = {
    "htmx": (
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
    ),
    "Turbo": (b"turbo-frame",),
    "Inertia": (
        b"x-inertia",
        b"x-inertia-error-bag",
        b"x-inertia-except-once-props",
        b"x-inertia-infinite-scroll-merge-intent",
        b"x-inertia-partial-component",
        b"x-inertia-partial-data",
        b"x-inertia-partial-except",
        b"x-inertia-reset",
        b"x-inertia-version",
    ),
    "PJAX": (b"x-pjax", b"x-pjax-container"),
    "jQuery": (b"x-requested-with",),
    "Unpoly": (
        b"x-up-context",
        b"x-up-fail-context",
        b"x-up-fail-mode",
        b"x-up-fail-target",
        b"x-up-mode",
        b"x-up-origin-mode",
        b"x-up-target",
        b"x-up-validate",
        b"x-up-version",
    ),
    "Alpine AJAX": (b"x-alpine-request", b"x-alpine-target"),
    "others": (
        b"datastar-request",
        b"fx-request",
        b"x-barba",
        b"x-ic-request",
        b"x-livewire-navigate",
    ),
}
# Who tells an application the address of the client, which differs for every client.
CLIENT = {
    "RFC 7239": (b"forwarded",),
    "nearly every proxy": (b"x-forwarded-for",),
    "nginx": (b"x-real-ip",),
    "Cloudflare": (b"cf-connecting-ip",),
    "Akamai": (b"true-client-ip",),
    "Fastly": (b"fastly-client-ip",),
    "Rackspace": (b"x-cluster-client-ip",),
    "other proxies": (b"client-ip", b"x-client-ip", b"x-forwarded"),
    "htmx, of the page it is on": (b"hx-current-url",),
    "Turbo, of each request": (b"x-turbo-request-id",),
}
# What makes another request of it, or asks what only the application can answer.
BYPASSED = {
    b"transfer-encoding": "body",
    b"x-http-method-override": "method-override",
    b"x-http-method": "method-override",
    b"x-method-override": "method-override",
    b"if-match": "precondition",
    b"if-unmodified-since": "precondition",
}
CACHE_ANSWERS = {
    "RFC 9110 13.1": (b"if-none-match", b"if-modified-since"),
    "RFC 9110 14.2": (b"range", b"if-range"),
}
CREDENTIALS = {"RFC 6265": (b"cookie",), "RFC 9110 11.6.2": (b"authorization",)}
CLIENT_DIRECTIVES = {"RFC 9111 5.2.1": (b"cache-control",), "RFC 9111 5.4": (b"pragma",)}


def rows(*tables: Mapping[str, Sequence[bytes]]) -> list[Any]:
    """Return each header, with who sends or reads it."""
    return [
        pytest.param(name, id=f"{name.decode()}: {who}")
        for table in tables
        for who, headers in table.items()
        for name in headers
    ]


def keys(kit: Kit, name: bytes) -> int:
    """Count the keys of two requests whose header differs, and of one without it."""
    fields: list[list[Field]] = [[], [(name, b"1")], [(name, b"2")]]
    return len({kit.asked(get("/products/1", *each)).key for each in fields})


@pytest.mark.parametrize("name", rows(ADDRESS, PARTS))
def test_what_tells_an_application_its_address_or_asks_for_a_part_is_keyed(name: bytes) -> None:
    """I7: a forged value reaches only its sender."""
    assert keys(Kit(), name) == 3
    assert reason(get("/x", (name, b"x"))) is None


@pytest.mark.parametrize("name", rows(CLIENT))
def test_the_address_of_the_client_is_not_keyed_and_not_seen(name: bytes) -> None:
    """I7: and if it were keyed, nothing could be shared."""
    kit = Kit()
    assert keys(kit, name) == 1
    assert name not in kit.asked(get("/products/1", (name, b"1"))).headers
    assert reason(get("/x", (name, b"x"))) is None


@pytest.mark.parametrize(("name", "why"), list(BYPASSED.items()), ids=str)
def test_it_is_bypassed(name: bytes, why: str) -> None:
    assert reason(get("/x", (name, b""))) == why


@pytest.mark.parametrize("name", rows(CACHE_ANSWERS, CREDENTIALS))
def test_what_has_rules_of_its_own_is_neither_keyed_nor_bypassed(name: bytes) -> None:
    assert keys(Kit(), name) == 1
    assert reason(get("/x", (name, b"x"))) is None


def test_no_header_is_in_two_tables() -> None:
    tables = [set(KEYED), set(REMOVED), set(BYPASSED), set(CONDITIONAL), {b"cookie", b"host"}]
    assert len(set().union(*tables)) == sum(map(len, tables))


# The fast path ------------------------------------------------------------------------------------

NOTICED = rows(
    ADDRESS,
    PARTS,
    CACHE_ANSWERS,
    CREDENTIALS,
    {
        "the route": tuple(DECLARED),
        "RFC 9112 6.2": (b"content-length",),
        "the other table": tuple(BYPASSED),
    },
)


@pytest.mark.parametrize("name", NOTICED)
def test_the_fast_path_notices_it(name: bytes) -> None:
    assert name in noticed().names


@pytest.mark.parametrize("name", rows(CLIENT))
def test_the_fast_path_need_not_notice_what_no_application_sees(name: bytes) -> None:
    assert name not in noticed().names


@pytest.mark.parametrize("name", rows(CLIENT_DIRECTIVES))
def test_the_fast_path_notices_directives_only_where_a_route_honours_them(name: bytes) -> None:
    assert name in noticed(honours=True).names
    assert name not in noticed().names


def test_an_engine_notices_what_its_routes_declare_and_honour() -> None:
    declaring = {**ROUTE, "vary": [name.decode() for name in DECLARED]}
    honouring = {"path": "/x", "ttl": "1m", "client_directives": "honour"}
    names = identity_names()
    assert Kit(declaring).engine.watched == watched(DECLARED, names)
    assert Kit(declaring, honouring).engine.watched == watched(DECLARED, names, honours=True)


# Spellings ----------------------------------------------------------------------------------------


def spelled(name: bytes) -> list[bytes]:
    pieces = name.split(b"-")
    joints = itertools.product(b"-_", repeat=len(pieces) - 1)
    spellings = (
        b"".join(x for p in zip(pieces, [*map(chr_, js), b""], strict=True) for x in p)
        for js in joints
    )
    return [spelling for spelling in spellings if b"_" in spelling]


def chr_(code: int) -> bytes:
    return bytes([code])


EVERY_SPELLING = sorted(
    spelling
    for name in {row.values[0] for row in [*NOTICED, *rows(CLIENT, CLIENT_DIRECTIVES)]}
    for spelling in spelled(name)
)


def test_every_spelling_with_an_underscore_goes_past_the_cache() -> None:
    """CGI-style servers fold `_` and `-`, so the application may take one for the other."""
    assert len(EVERY_SPELLING) > 100
    honouring = noticed(honours=True)
    for spelling in EVERY_SPELLING:
        request = get("/x", (spelling, b"x"))
        assert bypass_reason(request, honouring.suspicious) == "spelling", spelling
        assert spelling in honouring.names, spelling


def test_the_underscores_of_other_names_do_not_matter() -> None:
    assert reason(get("/x", (b"x_request_id", b"1"))) is None


HOSTS = [
    pytest.param([b"shop.example"], True, id="9110 7.2 a name"),
    pytest.param([b"SHOP.example"], True, id="9110 4.2.3 capitals"),
    pytest.param([b"shop.example:8080"], True, id="9110 7.2 a port"),
    pytest.param([b"127.0.0.1"], True, id="9110 7.2 an address"),
    pytest.param([b"[::1]:8000"], True, id="3986 3.2.2 an IPv6 address"),
    pytest.param([b"my_host"], True, id="an underscore, as containers have"),
    pytest.param([], False, id="9112 3.2 none"),
    pytest.param([b"a", b"a"], False, id="9112 3.2 two"),
    pytest.param([b""], False, id="empty"),
    pytest.param([b"a b"], False, id="a space"),
    pytest.param([b"h/x?"], False, id="a path, which moved Starlette's URL"),
    pytest.param([b"user@host"], False, id="user information"),
    pytest.param([b"a:b"], False, id="a port that is no number"),
    pytest.param([b"a:123456"], False, id="a port of six digits"),
    pytest.param([b"a:"], False, id="a colon and no port"),
    pytest.param([b"::1"], False, id="IPv6 without brackets"),
    pytest.param([b"a\n"], False, id="a newline at the end"),
    pytest.param([b"a\x00"], False, id="a NUL"),
    pytest.param([b"a,b"], False, id="a list"),
    pytest.param(["é".encode()], False, id="no ASCII"),
]


@pytest.mark.parametrize(("hosts", "good"), HOSTS)
def test_hosts(hosts: list[bytes], good: bool) -> None:
    request = get("/x")
    fields = [(b"host", host) for host in hosts]
    request = Request(
        method="GET",
        scheme="http",
        mount="",
        path=request.path,
        raw_path=request.raw_path,
        query=b"",
        headers=Fields(fields),
    )
    assert reason(request) == (None if good else "host")


TARGETS = [
    pytest.param("/a/b", True, id="9112 3.2.1 origin form"),
    pytest.param("/", True, id="9112 3.2.1 the root"),
    pytest.param("/%41%20%C3%A9", True, id="3986 2.1 encoded characters"),
    pytest.param("//a/../b;x=1", True, id="left as the framework takes it"),
    pytest.param("http://a/b", False, id="9112 3.2.2 absolute form"),
    pytest.param("*", False, id="9112 3.2.4 asterisk form"),
    pytest.param("a", False, id="no slash"),
    pytest.param("", False, id="nothing"),
    pytest.param("/a%2Fb", False, id="an encoded slash"),
    pytest.param("/a%2fb", False, id="an encoded slash in lower case"),
    pytest.param("/a%5cb", False, id="an encoded backslash"),
    pytest.param("/a\\b", False, id="a backslash"),
    pytest.param("/a%00", False, id="an encoded NUL"),
    pytest.param("/a\x00", False, id="a NUL"),
]


@pytest.mark.parametrize(("path", "good"), TARGETS)
def test_targets(path: str, good: bool) -> None:
    assert reason(get(path)) == (None if good else "target")


@pytest.mark.parametrize(
    ("length", "good"), [(b"0", True), (b" 0 ", True), (b"1", False), (b"", False)]
)
def test_a_body_goes_past_the_cache(length: bytes, good: bool) -> None:
    assert reason(get("/x", (b"content-length", length))) == (None if good else "body")


KEYED_BODY = [
    pytest.param([(b"content-length", b"3")], None, id="its length"),
    pytest.param([(b"transfer-encoding", b"chunked")], None, id="9112 6.1 no length"),
    pytest.param([(b"x-http-method-override", b"PUT")], "method-override", id="another method"),
    pytest.param([(b"if-match", b'"a"')], "precondition", id="9110 13.1.1 a precondition"),
    pytest.param([(b"content_length", b"3")], "spelling", id="a spelling"),
]


@pytest.mark.parametrize(("fields", "why"), KEYED_BODY)
def test_a_body_that_is_keyed_is_no_reason_and_all_else_is(
    fields: list[Field], why: str | None
) -> None:
    """`body_reason` judges the body itself."""
    assert bypass_reason(get("/x", *fields), noticed().suspicious, keyed=True) == why


@given(st.binary(max_size=20), st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8))))
def test_no_request_raises(host: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    reason(get("/x", *fields, host=host))


NAMES = [
    pytest.param("shop.example", "shop.example", id="as it is"),
    pytest.param("SHOP.Example", "shop.example", id="case"),
    pytest.param("shop.example:80", "shop.example", id="the port of http"),
    pytest.param("shop.example:443", "shop.example", id="the port of https"),
    pytest.param("shop.example:0080", "shop.example", id="zeros before it"),
    pytest.param("shop.example.", "shop.example", id="a final dot"),
    pytest.param("shop.example.:443", "shop.example", id="a final dot and a port"),
    pytest.param("shop.example:", "shop.example", id="an empty port"),
    pytest.param("shop.example:0", "shop.example:0", id="a port that is none"),
    pytest.param("shop.example:8080", "shop.example:8080", id="another port"),
    pytest.param("shop.example:180", "shop.example:180", id="a port that ends so"),
    pytest.param("[::1]:80", "[::1]", id="an address"),
    pytest.param("[::80]", "[::80]", id="an address that ends so"),
]


@pytest.mark.parametrize(("host", "name"), NAMES)
def test_a_host_has_one_name_in_tags(host: str, name: str) -> None:
    assert normalised_host(host) == name
