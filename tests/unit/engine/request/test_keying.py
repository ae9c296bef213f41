"""From a request to what is asked: what is keyed, what is removed, who is known, what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

import cachemw.engine.core.memo as memo_module
from cachemw.engine.model.bypass import KEYED, REMOVED
from cachemw.engine.request.keying import Bypass
from tests.support.engine import ROUTE, Field, Kit, get, target

HOST = (b"host", b"shop.example")


def cookie(value: bytes) -> Field:
    return b"cookie", value


# What the application sees ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(REMOVED), ids=str)
def test_the_clients_address_is_removed(name: bytes) -> None:
    kit = Kit()
    asked = kit.asked(get("/products/1", (name, b"10.0.0.1"), (b"accept", b"*/*")))
    assert list(asked.headers) == [HOST, (b"accept", b"*/*")]
    assert asked.plan.key == kit.asked(get()).plan.key
    rewrite = asked.rewrite(keep_conditions=True)
    assert rewrite is not None
    assert rewrite.headers == asked.headers


@pytest.mark.parametrize("name", sorted(KEYED), ids=str)
def test_what_tells_an_application_its_address_is_seen_and_keyed(name: bytes) -> None:
    kit = Kit()
    asked = kit.asked(get("/products/1", (name, b"evil.example")))
    assert list(asked.headers) == [HOST, (name, b"evil.example")]
    assert asked.plan.key != kit.asked(get()).plan.key
    assert asked.rewrite(keep_conditions=True) is None


def test_a_declared_field_is_seen_and_keyed_even_if_it_would_be_removed() -> None:
    kit = Kit({**ROUTE, "vary": ["X-Real-IP"]})
    asked = kit.asked(get("/products/1", (b"x-real-ip", b"10.0.0.1")))
    assert asked.headers.first(b"x-real-ip") == b"10.0.0.1"
    assert asked.plan.key != kit.asked(get()).plan.key


def test_parameters_that_the_route_does_not_read_are_removed() -> None:
    kit = Kit({**ROUTE, "query": ["page"]})
    asked = kit.asked(get(query=b"utm=x&page=2"))
    assert asked.query == b"page=2"
    assert asked.plan.key == kit.asked(get(query=b"page=2")).plan.key
    rewrite = asked.rewrite(keep_conditions=True)
    assert rewrite is not None
    assert (rewrite.query, list(rewrite.headers)) == (b"page=2", [HOST])


COOKIES: list[Any] = [
    pytest.param([], b"sid=1", None, id="none are read: all are removed"),
    pytest.param(["lang"], b"sid=1; lang=de", b"lang=de", id="others are removed"),
    pytest.param(["lang"], b"sid=1", None, id="nothing is left"),
    pytest.param(["a", "b"], b"b=2;a=1", b"b=2; a=1", id="order is kept"),
    pytest.param(
        ["lang"], b"lang=de; l%61ng=fr", b"lang=de; l%61ng=fr", id="all it could take for it"
    ),
]


@pytest.mark.parametrize(("read", "sent", "seen"), COOKIES)
def test_the_application_sees_the_cookies_that_the_route_reads(
    read: list[str], sent: bytes, seen: bytes | None
) -> None:
    kit = Kit({**ROUTE, "cookies": read})
    asked = kit.asked(get("/products/1", cookie(sent)))
    assert [value for name, value in asked.headers if name == b"cookie"] == ([seen] if seen else [])
    assert not asked.cookies_sent
    assert not asked.personal
    same = asked.plan.key == kit.asked(get()).plan.key
    assert same is (seen is None)


def test_cookies_on_several_lines_become_one() -> None:
    kit = Kit({**ROUTE, "cookies": ["a", "b"]})
    asked = kit.asked(get("/products/1", cookie(b"a=1; x=0"), cookie(b"b=2")))
    assert list(asked.headers) == [HOST, cookie(b"a=1; b=2")]


def test_conditions_are_taken_off_only_when_a_whole_answer_is_wanted() -> None:
    fields = [(b"if-none-match", b'"a"'), (b"if-modified-since", b"x"), (b"accept", b"*/*")]
    asked = Kit().asked(get("/products/1", *fields))
    assert asked.rewrite(keep_conditions=True) is None
    rewrite = asked.rewrite(keep_conditions=False)
    assert rewrite is not None
    assert list(rewrite.headers) == [HOST, (b"accept", b"*/*")]


# Who is known -------------------------------------------------------------------------------------

KNOWN = [
    pytest.param([], False, False, id="nobody"),
    pytest.param([cookie(b"sid=1")], True, False, id="a cookie on a route that has not said"),
    pytest.param([cookie(b"")], True, False, id="an empty cookie field"),
    pytest.param([(b"authorization", b"Basic eA==")], False, True, id="authorization"),
]


@pytest.mark.parametrize(("fields", "cookies", "authorization"), KNOWN)
def test_a_client_is_known(fields: list[Field], cookies: bool, authorization: bool) -> None:
    asked = Kit().asked(get("/products/1", *fields))
    assert (asked.cookies_sent, asked.authorization_sent) == (cookies, authorization)
    assert asked.personal is (cookies or authorization)


def test_authorization_counts_whatever_cookies_the_route_reads() -> None:
    kit = Kit({**ROUTE, "cookies": []})
    assert kit.asked(get("/products/1", (b"authorization", b"x"))).personal


IDENTITY = {**ROUTE, "identity": "who"}


def who(request: Any) -> str | None:
    token = dict(request.headers).get(b"authorization")
    if token == b"broken":
        raise KeyError(token)
    return token.decode() if token else None


def test_each_identity_has_answers_of_its_own() -> None:
    kit = Kit(IDENTITY, identities={"who": who})
    keys = set()
    for name in (b"ann", b"bob"):
        asked = kit.asked(get("/products/1", (b"authorization", name), cookie(b"sid=%s" % name)))
        assert not asked.personal, "the key holds who it is"
        keys.add(asked.plan.key)
    assert len(keys) == 2


def test_who_is_nobody_goes_past_the_cache() -> None:
    kit = Kit(IDENTITY, identities={"who": who})
    passed = kit.classify(get())
    assert isinstance(passed, Bypass)
    assert passed.reason == "identity"


def test_an_identity_function_that_fails_costs_the_cache_not_the_request() -> None:
    """I3."""
    kit = Kit(IDENTITY, identities={"who": who})
    passed = kit.classify(get("/products/1", (b"authorization", b"broken")))
    assert isinstance(passed, Bypass)
    assert kit.events("not_stored") == {"identity-error": 1}


def test_an_answer_for_one_identity_is_never_a_fast_hit() -> None:
    """I1: only the application's function can say who asks, so the flow must."""
    kit = Kit(IDENTITY, identities={"who": who})
    ann = get("/products/1", (b"authorization", b"ann"))
    kit.fill(ann)
    assert kit.hit(ann) is None
    assert kit.hit(get("/products/1", (b"authorization", b"bob"))) is None
    assert kit.hit(get()) is None
    assert kit.engine.memo.known(target(ann)) is None


# What is remembered -------------------------------------------------------------------------------


def test_a_target_is_worked_out_once() -> None:
    kit = Kit()
    assert kit.asked(get()).plan is kit.asked(get()).plan
    assert kit.asked(get("/products/2")).plan is not kit.asked(get()).plan


def test_tags_of_a_remembered_target_are_those_of_its_path() -> None:
    kit = Kit()
    for _ in range(2):
        assert "product:7" in kit.asked(get("/products/7")).plan.tags


def test_the_memo_of_targets_is_bounded_and_what_is_asked_for_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I4: two generations of it."""
    monkeypatch.setattr(memo_module, "_MEMO_SIZE", 10)
    kit = Kit()
    hot = kit.asked(get("/products/hot")).plan
    for number in range(200):
        kit.asked(get(f"/products/{number}"))
        assert len(kit.engine.memo.young) + len(kit.engine.memo._old) <= 20
        assert kit.engine.memo.known(target(get("/products/hot"))) is hot
    assert kit.engine.memo.known(target(get("/products/0"))) is None


def test_what_goes_past_the_cache_is_not_remembered() -> None:
    kit = Kit()
    for request in (get("/elsewhere"), get(host=b"a b"), get("/products/1", method="POST")):
        assert isinstance(kit.classify(request), Bypass)
    assert kit.engine.memo.young == {}


def test_the_plans_of_one_target_are_bounded() -> None:
    """I4: any client may send any X-Forwarded-Host."""
    kit = Kit()
    plan = kit.asked(get()).plan
    for number in range(1000):
        kit.asked(get("/products/1", (b"x-forwarded-host", b"h%d" % number)))
        assert len(plan.others) <= 64
    last = get("/products/1", (b"x-forwarded-host", b"h999"))
    assert kit.asked(last).plan.key == plan.others[((b"x-forwarded-host", b"h999"),)].key


def test_the_variants_of_one_plan_are_bounded() -> None:
    """I4: `Vary: User-Agent` with any number of agents."""
    kit = Kit()
    plan = kit.asked(get()).plan
    keys = {
        kit.engine.variants.key_of(plan, ((b"user-agent", b"%d" % number),)).digest
        for number in range(1000)
    }
    assert len(keys) == 1000
    assert len(plan.variants) <= 64


# The fast path and the flow agree -----------------------------------------------------------------

FAST: list[Any] = [
    pytest.param({}, [], True, id="plain"),
    pytest.param({"cookies": []}, [cookie(b"sid=1")], True, id="cookies that are not read"),
    pytest.param({"cookies": ["a"]}, [cookie(b"a=1; x=2")], True, id="cookies that are"),
    pytest.param({"vary": ["X-A"]}, [(b"x-a", b"1")], True, id="a declared field"),
    pytest.param({}, [(b"x-forwarded-proto", b"https")], True, id="a keyed field"),
    pytest.param({}, [cookie(b"sid=1")], False, id="a known client: cookie"),
    pytest.param({}, [(b"authorization", b"x")], False, id="a known client: authorization"),
    pytest.param({}, [(b"if-none-match", b"x")], False, id="a condition"),
    pytest.param({}, [(b"range", b"bytes=0-")], False, id="a range"),
    pytest.param({}, [(b"x_forwarded_host", b"x")], False, id="a spelling"),
    pytest.param({}, [(b"content-length", b"1")], False, id="a body"),
]


@pytest.mark.parametrize(("options", "fields", "fast"), FAST)
def test_the_fast_path_answers_only_what_the_flow_would_answer_alike(
    options: dict[str, Any], fields: list[Field], fast: bool
) -> None:
    kit = Kit({**ROUTE, **options})
    plain = kit.fill(get())
    request = get("/products/1", *fields)
    if fast and kit.asked(request).plan.key.digest != plain.key:
        assert kit.hit(request) is None, "it is not the plain request's"
        plain = kit.fill(request)
    assert kit.hit(request) is (plain if fast else None)


def test_the_order_of_what_is_remembered_mixes_up_nobody() -> None:
    """I1: the same cookie under two routes, and two cookies under one."""
    kit = Kit({**ROUTE, "cookies": ["a"]})
    entries = {}
    for value in (b"1", b"2"):
        entries[value] = kit.fill(get("/products/1", cookie(b"a=" + value)), value)
    for value, entry in entries.items():
        assert kit.hit(get("/products/1", cookie(b"x=0; a=" + value))) is entry
    assert kit.hit(get("/products/1", cookie(b"a=3"))) is None
    assert kit.hit(get("/products/1", cookie(b"a=1; a=2"))) is None


@pytest.mark.parametrize("read", [None, [], ["theme"]], ids=repr)
def test_a_keyed_cookie_is_seen_and_keyed_whatever_the_others_are(read: list[str] | None) -> None:
    route = {**ROUTE, "keyed_cookies": ["lang"]}
    kit = Kit(route if read is None else {**route, "cookies": read})
    plans = [
        kit.asked(get("/products/1", cookie(sent))).plan.key
        for sent in (b"lang=de; sid=1", b"sid=2;lang=de", b"lang=fr; sid=1", b"sid=1")
    ]
    assert plans[0] == plans[1]
    assert len(set(plans)) == 3
    asked = kit.asked(get("/products/1", cookie(b"lang=de; sid=1")))
    assert asked.headers.first(b"cookie") == (b"lang=de; sid=1" if read is None else b"lang=de")
    assert asked.personal is (read is None)
