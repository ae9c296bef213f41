"""Bodies in the engine: which are read, what of them is keyed, and what a change is."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachemw.engine.model.entry import Entry
from cachemw.engine.request.bodies import body_limit, body_reason
from cachemw.engine.request.decisions import Serve
from cachemw.engine.request.keying import Bypass
from cachemw.http.messages import Content, Request
from tests.support.engine import Kit, forwarded, get, step, target
from tests.support.examples import examples

ROUTE = {"path": "/p", "ttl": "60s", "methods": ["GET", "POST", "QUERY"], "body": "raw"}
ROUTE |= {"name": "products", "body_limit": 8}
OTHERS = [{"path": "/off", "ttl": "60s", "methods": ["POST"], "body": "raw", "enabled": False}]
OTHERS.append({"path": "/gets", "ttl": "60s"})


def sent(
    body: bytes | None = b"body",
    *fields: tuple[bytes, bytes],
    method: str = "POST",
    path: str = "/p",
    fault: str | None = None,
) -> Request:
    content = None if body is None else Content(body, fault)
    return replace(get(path, *fields, method=method), content=content)


@pytest.fixture
def kit() -> Kit:
    return Kit(ROUTE, *OTHERS)


UNREAD = [
    pytest.param((b"transfer-encoding", b"gzip, chunked"), "body", id="9112 6.1 another coding"),
    pytest.param((b"content-length", b"9"), "body-limit", id="larger than the limit"),
    pytest.param((b"content-length", b"1" * 5000), "body-length", id="a number of many digits"),
    pytest.param((b"content-length", b"4, 4"), "body-length", id="two lengths in one"),
    pytest.param((b"content-length", b"-4"), "body-length", id="no length"),
    pytest.param((b"content_type", b"text/plain"), "spelling", id="an underscored spelling"),
    pytest.param((b"content-encodin_g", b"x"), None, id="another field"),
    pytest.param((b"if-none-match", b"*"), "precondition", id="9110 13.1.2"),
    pytest.param((b"if-match", b"*"), "precondition", id="9111 4.3.2"),
    pytest.param((b"x-method-override", b"PUT"), "method-override", id="another method"),
    pytest.param((b"content-length", b"4"), None, id="a length"),
    pytest.param((b"transfer-encoding", b"Chunked"), None, id="9112 7.1 chunked"),
]


@pytest.mark.parametrize(("field", "reason"), UNREAD)
def test_what_goes_past_the_cache_anyway_is_not_read(
    kit: Kit, field: tuple[bytes, bytes], reason: str | None
) -> None:
    request = sent(None, field)
    assert body_limit(kit.engine, request, target(request)) == (8 if reason is None else None)
    passed = kit.classify(request)
    assert isinstance(passed, Bypass)
    assert passed.reason == (reason or "body")


def test_two_framings_are_none(kit: Kit) -> None:
    """RFC 9112 6.3: such a request may be smuggled."""
    both = (b"content-length", b"4"), (b"transfer-encoding", b"chunked")
    twice = (b"content-length", b"4"), (b"content-length", b"5")
    for fields, reason in ((both, "body"), (twice, "body-length")):
        request = sent(None, *fields)
        assert body_limit(kit.engine, request, target(request)) is None
        assert body_reason(kit.engine.routes[0], request) == reason


@pytest.mark.parametrize(
    ("path", "method"), [("/off", "POST"), ("/gets", "POST"), ("/none", "POST"), ("/p", "GET")]
)
def test_a_body_is_read_only_where_a_route_keys_it(kit: Kit, path: str, method: str) -> None:
    request = sent(None, path=path, method=method)
    for _ in range(2):  # with the target's plan, and without
        assert body_limit(kit.engine, request, target(request)) is None
        kit.classify(replace(request, method="GET"))


@pytest.mark.parametrize(
    ("body", "length", "fault", "reason"),
    [
        (b"body", None, None, None),
        (b"body", b"4", None, None),
        (b"body", b"5", None, "body-length"),
        (b"body", b"3", None, "body-length"),
        (b"", b"0", None, None),
        (b"", None, "body-limit", "body-limit"),
        (b"", b"4", "body-length", "body-length"),
        (None, None, None, "body"),
    ],
)
def test_only_a_whole_body_is_keyed(
    kit: Kit, body: bytes | None, length: bytes | None, fault: str | None, reason: str | None
) -> None:
    fields = [(b"content-length", length)] if length is not None else []
    asked = kit.classify(sent(body, *fields, fault=fault))
    assert (asked.reason if isinstance(asked, Bypass) else None) == reason


# -- keys ------------------------------------------------------------------------------------------


class Posted(NamedTuple):
    method: str
    kind: bytes | None
    coding: bytes | None
    body: bytes

    def request(self) -> Request:
        fields = [(b"content-type", self.kind), (b"content-encoding", self.coding)]
        stated = [(name, value) for name, value in fields if value is not None]
        return sent(self.body, *stated, method=self.method)


KIT = Kit(ROUTE)
# The same few letters on both sides of each border.
FEW = st.text(alphabet="a,", max_size=2).map(str.encode)
POSTED = st.builds(
    Posted, st.sampled_from(["POST", "QUERY"]), st.none() | FEW, st.none() | FEW, FEW
)


@settings(max_examples=examples(500), deadline=None)
@given(POSTED, POSTED)
def test_requests_share_a_key_only_if_method_and_body_are_the_same(
    first: Posted, second: Posted
) -> None:
    keys = [KIT.asked(each.request()).plan.key for each in (first, second)]
    assert (keys[0].full == keys[1].full) is (first == second)
    assert (keys[0].digest == keys[1].digest) is (first == second)
    assert keys[0] != KIT.asked(get("/p")).plan.key


def test_no_body_stands_in_a_key_in_clear(kit: Kit) -> None:
    key = kit.asked(sent(b"s3cret")).plan.key
    assert b"s3cret" not in key.full
    other = Kit(ROUTE, digest_secret="another secret of 16").asked(sent(b"s3cret")).plan.key
    assert other.full != key.full


def test_a_plan_with_a_body_is_never_found_by_a_get(kit: Kit) -> None:
    # Guard: `body is None` in `_extended`; the fast path looks plans up by target and fields alone.
    for field in ((b"origin", b"x"), (b"content-length", b"4")):
        kit.fill(sent(b"evil", field))
        assert kit.hit(get("/p")) is None
        assert kit.hit(get("/p", field)) is None


def test_a_refresh_has_the_body(kit: Kit) -> None:
    kit = Kit({**ROUTE, "stale_while_revalidate": "30s"})
    kit.fill(sent(b"again"))
    kit.clock.advance(61)
    decision = step(kit.flow(sent(b"again")))
    assert isinstance(decision, Serve)
    assert decision.refresh is not None
    assert decision.refresh.cacheable.request.content == Content(b"again")


# -- rules that depend on the method ---------------------------------------------------------------


def test_a_post_gets_no_guessed_lifetime() -> None:
    """RFC 9110 9.3.3."""
    kit = Kit({**ROUTE, "ttl": "response", "heuristic": 0.1})
    now = kit.clock.time()
    dated = (b"last-modified", date(now - 86_400)), (b"date", date(now))
    stated = (b"cache-control", b"max-age=60")
    for method, fields, kept in (
        ("QUERY", dated, True),
        ("POST", dated, False),
        ("POST", (*dated, stated), True),
    ):
        relayed: Any = kit.head(kit.miss(sent(method=method)), 200, *fields)
        keeping = relayed.collector
        assert (keeping is not None and keeping.lifetime.fresh > 0) is kept, method


def date(moment: float) -> bytes:
    return formatdate(moment, usegmt=True).encode()


def test_a_stale_post_is_not_validated() -> None:
    kit = Kit({**ROUTE, "stale_if_error": "1h"})
    for method, asks in (("QUERY", True), ("POST", False)):
        entry: Entry = kit.fill(sent(method=method), b"x", (b"etag", b'"v1"'))
        kit.clock.advance(61)
        fetch = kit.miss(sent(method=method)).fetch
        assert fetch is not None
        assert (fetch.fallback is entry, fetch.validates) == (True, asks)


@pytest.mark.parametrize(
    ("path", "method", "changes"),
    [
        ("/p", "POST", False),
        ("/p", "QUERY", False),
        ("/p", "PUT", True),
        ("/off", "POST", False),
        ("/gets", "POST", True),
        ("/none", "POST", True),
    ],
)
def test_a_method_that_is_cached_changes_nothing(
    kit: Kit, path: str, method: str, changes: bool
) -> None:
    forward = forwarded(step(kit.flow(sent(None, path=path, method=method))))
    assert (forward.change is not None) is changes
