"""From a request to what is asked: what is keyed, what is removed, who is known, what is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from msgspec.structs import replace

import cachemw.engine.core.memo as memo_module
from cachemw.config.syntax.flag import FULL, OFF, SHADOW
from cachemw.engine.model.plan import weigh
from cachemw.engine.model.routes import Operation
from cachemw.engine.request.keying import Bypass, CacheableRequest, classify
from cachemw.http.messages import Content, Head, Request
from tests.support.engine import ROUTE, Field, Kit, get, target

HOST = (b"host", b"shop.example")


def cookie(value: bytes) -> Field:
    return b"cookie", value


# What the application sees ------------------------------------------------------------------------


def test_the_clients_address_is_removed() -> None:
    kit = Kit()
    asked = kit.asked(get("/products/1", (b"x-real-ip", b"10.0.0.1"), (b"accept", b"*/*")))
    assert list(asked.headers) == [HOST, (b"accept", b"*/*")]
    rewrite = asked.rewrite(keep_conditions=True)
    assert rewrite is not None
    assert rewrite.headers == asked.headers


def test_what_is_keyed_reaches_the_application_as_it_came() -> None:
    kit = Kit()
    asked = kit.asked(get("/products/1", (b"x-forwarded-host", b"evil.example")))
    assert list(asked.headers) == [HOST, (b"x-forwarded-host", b"evil.example")]
    assert asked.rewrite(keep_conditions=True) is None


def test_the_clients_address_is_removed_whatever_else_is_sent() -> None:
    """I7: beside headers that the cache must look at, too."""
    kit = Kit()
    for other in (cookie(b"sid=1"), (b"origin", b"https://a"), (b"range", b"bytes=0-1")):
        asked = kit.asked(get("/products/1", (b"x-forwarded-for", b"10.0.0.1"), other))
        assert list(asked.headers) == [HOST, other]


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


@pytest.mark.parametrize(
    ("options", "fields", "removed"),
    [
        pytest.param({"cookies": ["lang"]}, [cookie(b"sid=1; lang=de")], True, id="one of two"),
        pytest.param({"cookies": []}, [cookie(b"sid=1")], True, id="all"),
        pytest.param({"cookies": ["lang"]}, [cookie(b"lang=de")], False, id="none of them"),
        pytest.param({}, [cookie(b"sid=1")], False, id="the application sees them"),
        pytest.param({"cookies": []}, [], False, id="none were sent"),
    ],
)
def test_a_request_tells_whether_cookies_were_removed(
    options: dict[str, Any], fields: list[Field], removed: bool
) -> None:
    asked = Kit({**ROUTE, **options}).asked(get("/products/1", *fields))
    assert asked.has_removed_cookies is removed


def test_conditions_are_taken_off_only_when_a_whole_answer_is_wanted() -> None:
    fields = [(b"if-none-match", b'"a"'), (b"if-modified-since", b"x"), (b"accept", b"*/*")]
    asked = Kit().asked(get("/products/1", *fields))
    assert asked.rewrite(keep_conditions=True) is None
    rewrite = asked.rewrite(keep_conditions=False)
    assert rewrite is not None
    assert list(rewrite.headers) == [HOST, (b"accept", b"*/*")]


@pytest.mark.parametrize("keep_conditions", [False, True])
def test_our_own_conditions_replace_the_clients(keep_conditions: bool) -> None:
    """The answer to two conditions would be about neither."""
    fields = [(b"if-none-match", b'"theirs"'), (b"if-modified-since", b"x"), (b"accept", b"*/*")]
    asked = Kit().asked(get("/products/1", *fields))
    ours = (b"if-none-match", b'"ours"')
    rewrite = asked.rewrite(keep_conditions=keep_conditions, conditions=[ours])
    assert rewrite is not None
    assert list(rewrite.headers) == [HOST, (b"accept", b"*/*"), ours]


# Who is known -------------------------------------------------------------------------------------

KNOWN = [
    pytest.param([], False, False, id="nobody"),
    pytest.param([cookie(b"sid=1")], True, False, id="a cookie on a route that has not said"),
    pytest.param([cookie(b"")], False, False, id="an empty cookie field"),
    pytest.param([cookie(b"_ga=1; _gid=2")], False, False, id="analytics cookies only"),
    pytest.param([(b"authorization", b"Basic eA==")], False, True, id="authorization"),
    pytest.param([(b"authorization", b"")], False, True, id="an empty authorization"),
    pytest.param([(b"x-api-key", b"1")], False, True, id="an API key"),
    pytest.param([(b"x-user", b"NONE")], False, False, id="a proxy says that nobody is known"),
    pytest.param([(b"x-user", b""), (b"x-user", b"ann")], False, True, id="on a second line"),
]


@pytest.mark.parametrize(("fields", "cookies", "authorization"), KNOWN)
def test_a_client_is_known(fields: list[Field], cookies: bool, authorization: bool) -> None:
    asked = Kit().asked(get("/products/1", *fields))
    assert (asked.cookies_sent, asked.authorization_sent) == (cookies, authorization)
    assert asked.personal is (cookies or authorization)


def test_what_says_that_nobody_is_known_is_remembered_with_its_key() -> None:
    kit = Kit()
    nobody = get("/products/1", (b"x-user", b"none"))
    kit.fill(nobody)
    assert kit.hit(nobody) is not None
    assert kit.hit(get()) is None, "the value is in the key"
    assert kit.hit(get("/products/1", (b"x-user", b"ann"))) is None


def test_a_declared_identity_header_is_keyed_as_a_digest() -> None:
    kit = Kit({**ROUTE, "vary": ["X-Api-Key"]})
    asked = kit.asked(get("/products/1", (b"x-api-key", b"s3cr3t")))
    assert not asked.personal
    assert b"x-api-key" in asked.plan.key.full
    assert b"s3cr3t" not in asked.plan.key.full
    assert asked.plan.key != kit.asked(get("/products/1", (b"x-api-key", b"other"))).plan.key


def test_what_the_server_says_is_kept_apart_from_what_a_client_claims() -> None:
    kit = Kit({**ROUTE, "vary": ["Remote-User"]})
    said = replace(get(), outer=((b":remote-user", b"ann"),))
    known = classify(kit.engine, said, target(said), list(said.outer))
    assert isinstance(known, CacheableRequest)
    assert not known.personal
    claimed = kit.asked(get("/products/1", (b"remote-user", b"ann")))
    assert len({known.plan.key, claimed.plan.key, kit.asked(get()).plan.key}) == 3


def outer(kit: Kit, *pairs: Field, fields: Sequence[Field] = ()) -> CacheableRequest | Bypass:
    """Give what becomes of a request into which the server or outer middleware has put something."""
    request = replace(get("/products/1", *fields), outer=pairs)
    return classify(kit.engine, request, target(request), [*fields, *pairs])


@pytest.mark.parametrize("name", [b":auth", b":session", b":user"])
def test_what_outer_middleware_has_put_into_a_request_bypasses_the_cache(name: bytes) -> None:
    """I1: also beside what the server says. It is counted by its kind."""
    kit = Kit()
    passed = outer(kit, (b":remote-user", b""), (name, b'environ["x"]'))
    assert isinstance(passed, Bypass)
    assert passed.reason == "outer-identity"
    assert kit.events("outer_identity") == {name[1:].decode(): 1}
    everybody = Kit({**ROUTE, "same_for_all_users": True})
    assert isinstance(outer(everybody, (name, b"x")), CacheableRequest)


@pytest.mark.parametrize("pair", [(b":remote-user", b"ann"), (b":user", b"x")], ids=repr)
def test_another_reason_to_bypass_comes_before_outer_middleware(pair: Field) -> None:
    passed = outer(Kit(), pair, fields=[(b"if-match", b'"a"')])
    assert isinstance(passed, Bypass)
    assert passed.reason == "precondition"


@pytest.mark.parametrize("same", [True, False])
def test_memory_answers_users_of_outer_middleware_only_where_all_get_the_same(same: bool) -> None:
    kit = Kit({**ROUTE, "same_for_all_users": same})
    kit.fill(get())
    user = [(b":user", b'scope["user"]')]
    found = kit.engine.hit_in_memory(target(get()), user, get().headers, kit.now)
    assert (found is not None) is same


def test_an_explanation_takes_variables_of_the_server_too() -> None:
    kit = Kit()
    reasons = [
        kit.cache.explain("GET", "/products/1", {"REMOTE_USER": name}).reason
        for name in ("ann", "")
    ]
    assert reasons == ["authorization", "uri-miss"]


@pytest.mark.parametrize(("share", "compared"), [(FULL, False), (FULL // 2, False), (SHADOW, True)])
def test_the_target_of_a_personal_cookie_is_told_in_shadow_alone(
    share: int, compared: bool
) -> None:
    """There the gain of other lists of cookies is counted for it."""
    kit = Kit({**ROUTE, "personal_cookies": ["sid"]})
    plan = kit.asked(get()).plan
    kit.engine.routes[0].share = share
    passed = kit.classify(get("/products/1", cookie(b"sid=1")))
    assert isinstance(passed, Bypass)
    assert (passed.reason, passed.shadow) == ("personal-cookie", plan if compared else None)


def test_authorization_counts_whatever_cookies_the_route_reads() -> None:
    kit = Kit({**ROUTE, "cookies": []})
    assert kit.asked(get("/products/1", (b"authorization", b"x"))).personal


HONOURS = {**ROUTE, "client_directives": "honour"}
RANGE = (b"range", b"bytes=0-1")
SPEAKS = [
    pytest.param(get(), True, id="a plain GET"),
    pytest.param(get(method="HEAD"), False, id="HEAD: the response has no body"),
    pytest.param(get("/products/1", cookie(b"sid=1")), False, id="a cookie"),
    pytest.param(get("/products/1", (b"authorization", b"x")), False, id="authorization"),
    pytest.param(get("/products/1", RANGE), False, id="a range: the response is a part"),
    pytest.param(
        get("/products/1", (b"cache-control", b"no-store")), False, id="the client's own directives"
    ),
    pytest.param(get("/products/1", (b"cache-control", b"x")), True, id="an unknown directive"),
]


@pytest.mark.parametrize(("request_", "speaks"), SPEAKS)
def test_only_a_plain_request_says_anything_about_those_of_others(
    request_: Request, speaks: bool
) -> None:
    assert Kit(HONOURS).asked(request_).speaks_for_all is speaks


def test_directives_count_only_on_a_route_that_honours_them() -> None:
    """Another route honours them, so the fast path notices the header on both."""
    other = {**ROUTE, "name": "others", "path": "/others/{id}"}
    kit = Kit(HONOURS, other)
    for name, value in ((b"cache-control", b"no-cache"), (b"pragma", b"no-cache")):
        honoured = kit.asked(get("/products/1", (name, value))).directives
        assert honoured is not None
        assert honoured.no_cache
        assert kit.asked(get("/others/1", (name, value))).directives is None
        assert kit.asked(get("/products/1", (b"origin", b"https://a"))).directives is None


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


def test_an_identity_that_is_no_unicode_is_keyed() -> None:
    """I3: a name from a header may hold any bytes."""
    kit = Kit(
        IDENTITY,
        identities={
            "who": lambda request: request.headers.first(b"who").decode("utf-8", "surrogateescape")
        },
    )
    keys = {kit.asked(get("/products/1", (b"who", name))).key for name in (b"\xff", b"\xfe")}
    assert len(keys) == 2
    assert kit.engine.memo.weight == 0, "nothing is remembered, so nothing is counted"


@pytest.mark.parametrize("share", [SHADOW, FULL // 2], ids=["shadow", "canary"])
def test_a_request_without_an_identity_is_bypassed_whatever_the_flag(share: int) -> None:
    """I3: the flag is for requests that have a key, and this one has none."""
    kit = Kit(IDENTITY, identities={"who": who})
    kit.engine.routes[0].share = share
    passed = kit.classify(get("/products/1", (b"origin", b"https://a")))
    assert isinstance(passed, Bypass)
    assert (passed.reason, passed.off) == ("identity", False)


# The query language of a route --------------------------------------------------------------------


class Spoken:
    """A query language in which a header says what the request would do."""

    def operation(self, request: Request, query: bytes, *, persisted: Operation) -> Operation:
        said = request.headers.first(b"operation")
        return "mutation" if said is None else cast(Operation, said.decode())

    def is_whole(self, head: Head, body: bytes) -> bool:
        return True


def speaking(kit: Kit) -> Kit:
    kit.engine.routes[0].language = Spoken()
    return kit


@pytest.mark.parametrize("operation", ["mutation", "other"])
def test_only_a_query_may_be_cached_on_a_route_with_a_language(operation: str) -> None:
    kit = speaking(Kit())
    assert isinstance(kit.classify(get("/products/1", (b"operation", b"query"))), CacheableRequest)
    passed = kit.classify(get("/products/1", (b"operation", operation.encode())))
    assert isinstance(passed, Bypass)
    assert (passed.reason, passed.mutates, passed.off) == (
        "operation",
        operation == "mutation",
        False,
    )


@pytest.mark.parametrize(
    ("fields", "method", "share", "reason"),
    [
        ([(b"if-match", b"x")], "GET", FULL, "precondition"),
        ([], "POST", FULL, "method"),
        ([], "GET", OFF, "off"),
    ],
)
def test_what_was_not_read_may_change_something_on_a_route_with_a_language(
    fields: list[Field], method: str, share: int, reason: str
) -> None:
    for kit, mutates in ((Kit(), False), (speaking(Kit()), True)):
        kit.engine.routes[0].share = share
        passed = kit.classify(get("/products/1", *fields, method=method))
        assert isinstance(passed, Bypass)
        assert (passed.reason, passed.off, passed.mutates) == (reason, share == OFF, mutates)


@pytest.mark.parametrize(
    ("method", "fields", "mutates"),
    [
        ("GET", [(b"operation", b"query")], False),
        ("HEAD", [(b"operation", b"query")], False),
        ("GET", [(b"operation", b"other")], False),
        ("GET", [(b"operation", b"mutation")], True),
        ("GET", [(b"operation", b"query"), (b"content-length", b"0")], False),
        ("GET", [(b"operation", b"query"), (b"content-length", b"7")], True),
        ("GET", [(b"operation", b"query"), (b"content-length", b"x")], True),
        ("GET", [(b"operation", b"query"), (b"transfer-encoding", b"chunked")], True),
        ("POST", [(b"operation", b"query")], True),
        ("QUERY", [(b"operation", b"query")], True),
        ("PUT", [(b"operation", b"query")], True),
        ("OPTIONS", [(b"operation", b"mutation")], False),
    ],
)
def test_a_url_says_all_that_a_request_without_a_body_would_do(
    method: str, fields: list[Field], mutates: bool
) -> None:
    """I5: some servers run a mutation of a GET, and of a body that a GET is not supposed to have."""
    kit = speaking(Kit())
    kit.engine.routes[0].share = OFF
    passed = kit.classify(get("/products/1", *fields, method=method))
    assert isinstance(passed, Bypass)
    assert passed.mutates is mutates


POSTS = {**ROUTE, "methods": ["GET", "POST"], "body": "raw"}


def test_a_body_that_was_read_and_changes_nothing_is_no_mutation() -> None:
    kit = speaking(Kit(POSTS))
    request = get("/products/1", (b"operation", b"other"), method="POST")
    passed = kit.classify(replace(request, content=Content(b"body")))
    assert isinstance(passed, Bypass)
    assert (passed.reason, passed.mutates) == ("operation", False)


BODIES: list[Any] = [
    pytest.param("GET", [], Content(b"body"), "body", id="a body that came and is not keyed"),
    pytest.param("GET", [], Content(b""), None, id="none came"),
    pytest.param("GET", [(b"if-match", b"x")], Content(b""), "precondition", id="another reason"),
    pytest.param("POST", [], Content(b"body"), None, id="a body in the key"),
    pytest.param("POST", [], None, "body", id="a body that was not read"),
    pytest.param("POST", [(b"if-match", b"x")], Content(b"a"), "precondition", id="and another"),
]


@pytest.mark.parametrize(("method", "fields", "content", "reason"), BODIES)
def test_a_body_and_everything_else_may_be_the_reason_to_bypass(
    method: str, fields: list[Field], content: Content | None, reason: str | None
) -> None:
    request = replace(get("/products/1", *fields, method=method), content=content)
    asked = Kit(POSTS).classify(request)
    assert (asked.reason if isinstance(asked, Bypass) else None) == reason


URL = ("@/products/1", "@shop.example/products/1")


@pytest.mark.parametrize(
    ("query", "urls"),
    [
        (b"", URL),
        (b"q=1", ("@/products/1?q=1", "@shop.example/products/1?q=1", *URL)),
    ],
)
def test_a_change_by_a_language_purges_what_was_asked_in_the_query(
    query: bytes, urls: tuple[str, ...]
) -> None:
    """A mutation is sent to the path alone, and its queries may be sent by GET."""
    asked = speaking(Kit()).asked(get("/products/1", (b"operation", b"query"), query=query))
    assert asked.plan.tags == ("product:1", "@route:products", *urls, "product:*")


# The flag -----------------------------------------------------------------------------------------


def test_in_shadow_a_request_is_keyed_and_only_compared() -> None:
    kit = Kit()
    assert kit.asked(get()).in_shadow is False
    kit.engine.routes[0].share = SHADOW
    assert kit.asked(get()).in_shadow is True


@pytest.mark.parametrize(("unknown", "reason"), [(False, "off"), (True, "flags-unknown")])
def test_a_route_is_off_by_its_flag_or_because_nobody_knows_it(unknown: bool, reason: str) -> None:
    """I6."""
    kit = Kit()
    kit.engine.routes[0].share, kit.engine.routes[0].unknown = OFF, unknown
    passed = kit.classify(get())
    assert isinstance(passed, Bypass)
    assert (passed.reason, passed.off) == (reason, True)


def test_a_canary_lets_in_the_same_keys_each_time_and_more_of_them_as_it_grows() -> None:
    kit = Kit()
    requests = [get(f"/products/{number}") for number in range(400)]
    let_in: list[set[int]] = []
    for per_cent in (10, 10, 50, 100):
        kit.engine.routes[0].share = per_cent * FULL // 100
        decided = [kit.classify(request) for request in requests]
        let_in.append({i for i, each in enumerate(decided) if isinstance(each, CacheableRequest)})
        kept_out = [each for each in decided if isinstance(each, Bypass)]
        assert {(each.reason, each.off, each.mutates) for each in kept_out} <= {
            ("canary", True, False)
        }
        assert not any(each.in_shadow for each in decided if isinstance(each, CacheableRequest))
    assert let_in[0] == let_in[1] < let_in[2] < let_in[3] == set(range(400))
    assert 10 < len(let_in[0]) < 100
    assert 140 < len(let_in[2]) < 260


# The tags of a target -----------------------------------------------------------------------------


def test_the_tags_of_a_target_are_the_routes_its_urls_and_their_families() -> None:
    assert Kit().asked(get()).plan.tags == ("product:1", "@route:products", *URL, "product:*")


def test_a_colon_in_a_parameter_makes_families_of_its_own() -> None:
    """A purge of `product:a:*` must find it."""
    asked = Kit({**ROUTE, "tags": ["product:{id}", "page"]}).asked(get("/products/a:b"))
    assert asked.plan.tags == (
        "product:a:b",
        "page",
        "@route:products",
        "@/products/a:b",
        "@shop.example/products/a:b",
        "product:*",
        "product:a:*",
    )


def test_a_scheme_a_mount_and_a_path_may_hold_anything() -> None:
    """I3: servers give them as they got them."""
    kit = Kit()
    mounts = [kit.asked(get(mount=mount)).key for mount in ("/\udcff", "/\udcfe", "/ÿ")]
    schemes = [kit.asked(get(scheme=scheme)).key for scheme in ("http", "é")]
    paths = [kit.asked(get(path)).key for path in ("/products/%FF", "/products/%FE")]
    assert len({*schemes, *mounts, *paths}) == 7


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


def test_all_that_is_remembered_is_counted() -> None:
    """I4: plans for other headers, and variants, as well as targets."""
    kit = Kit()
    seen = [0]
    for fields in ((), ((b"origin", b"https://a"),), ((b"origin", b"https://b"),)):
        kit.fill(get("/products/1", *fields), b"x", (b"vary", b"Accept"))
        memo = kit.engine.memo
        assert memo.weight == sum(map(weigh, memo.young.values()))
        seen.append(memo.weight)
    assert seen == sorted(set(seen)), "each adds to it"


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


# The fast path and the flow agree -----------------------------------------------------------------

FAST: list[Any] = [
    pytest.param({}, [], True, id="plain"),
    pytest.param({"cookies": []}, [cookie(b"sid=1")], True, id="cookies that are not read"),
    pytest.param({"cookies": ["a"]}, [cookie(b"a=1; x=2")], True, id="cookies that are"),
    pytest.param({"vary": ["X-A"]}, [(b"x-a", b"1")], True, id="a declared field"),
    pytest.param({}, [(b"x-forwarded-proto", b"https")], True, id="a keyed field"),
    pytest.param({}, [cookie(b"sid=1")], False, id="a known client: cookie"),
    pytest.param({}, [cookie(b"_ga=1; _gid=2")], True, id="analytics cookies"),
    pytest.param({}, [cookie(b"")], True, id="an empty cookie field"),
    pytest.param({"personal_cookies": ["s"]}, [cookie(b"_x=1")], True, id="nobody's cookies"),
    pytest.param(
        {"ignore_cookies": ["x"]}, [cookie(b"_ga=1")], True, id="analytics cookies, beside a list"
    ),
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


def test_cookies_of_analytics_count_where_the_configuration_says_so() -> None:
    kit = Kit(remove_analytics_cookies=False)
    kit.fill(get())
    request = get("/products/1", cookie(b"_ga=1"))
    assert kit.hit(request) is None
    assert kit.asked(request).cookies_sent


LISTED: list[dict[str, Any]] = [
    {"cookies": ["_ga"]},
    {"keyed_cookies": ["_ga"]},
    {"personal_cookies": ["_ga"]},
]


@pytest.mark.parametrize("options", LISTED, ids=str)
def test_a_list_of_the_route_wins_over_the_table_of_analytics(options: dict[str, Any]) -> None:
    kit = Kit({**ROUTE, **options})
    plain = kit.fill(get())
    asked = kit.classify(get("/products/1", cookie(b"_ga=1")))
    assert isinstance(asked, Bypass) or asked.plan.key.digest != plain.key


def test_a_personal_cookie_finds_no_plan_that_is_remembered() -> None:
    """I1. Guard: `Plan._reduce` gives None where `CookieRules.key` does."""
    kit = Kit({**ROUTE, "cookies": ["a"], "personal_cookies": ["sid"]})
    for sent in (b"a=1", b"x=1"):
        entry = kit.fill(get("/products/1", cookie(sent)))
        assert kit.hit(get("/products/1", cookie(sent))) is entry
        personal = get("/products/1", cookie(sent + b"; sid=1"))
        assert kit.hit(personal) is None
        asked = kit.classify(personal)
        assert isinstance(asked, Bypass)
        assert asked.reason == "personal-cookie"
    forwarded = (b"x-forwarded-proto", b"https")
    kit.fill(get("/products/1", forwarded))
    assert kit.hit(get("/products/1", forwarded, cookie(b"sid=1"))) is None


def test_cookies_in_no_key_are_remembered_under_no_plan() -> None:
    """I1. Guard: `Plan.remember` remembers nothing for them."""
    kit = Kit()
    forwarded = (b"x-forwarded-proto", b"https")
    kit.asked(get("/products/1", forwarded, cookie(b"sid=1")))
    assert not kit.asked(get()).plan.others


@pytest.mark.parametrize(
    "other",
    [cookie(b"sid=1"), (b"authorization", b"x"), (b"if-none-match", b"x"), (b"range", b"bytes=0-")],
    ids=lambda field: field[0].decode(),
)
def test_a_keyed_field_beside_one_that_is_not_keyed_is_left_to_the_flow(other: Field) -> None:
    """I1: a plan is not remembered for headers that its key does not hold."""
    kit = Kit()
    keyed = (b"x-forwarded-proto", b"https")
    entry = kit.fill(get("/products/1", keyed))
    request = get("/products/1", keyed, other)
    for _ in range(2):
        assert kit.asked(request).plan.key.digest == entry.key
        assert kit.hit(request) is None


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
