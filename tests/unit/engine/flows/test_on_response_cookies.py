"""Answers that set a cookie which was removed from their request: asked again, and bypassed for a while."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.engine.flows.on_request import refreshing
from cachemw.engine.flows.on_response import AskAgain, Relayed
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.keying import Bypass
from cachemw.http.messages import Content, Request
from tests.support.engine import GRACE, ROUTE, Field, Kit, follow, forwarded, get, served, step

NONE_READ = {**ROUTE, "cookies": []}
SID = (b"cookie", b"sid=A; x=1")
SETS = (b"set-cookie", b"sid=B; Path=/; HttpOnly")


def reason_of(kit: Kit, request: Request) -> str | None:
    """Give the reason why a request bypasses the cache now."""
    asked = kit.classify(request)
    return asked.reason if isinstance(asked, Bypass) else None


HARM: list[Any] = [
    pytest.param({"cookies": []}, SID, SETS, True, id="set as it was sent"),
    pytest.param({"cookies": []}, SID, (b"set-cookie", b"sid=; Max-Age=0"), True, id="deleted"),
    pytest.param({"cookies": []}, SID, (b"set-cookie", b"x"), True, id="without a value"),
    pytest.param({"cookies": []}, SID, (b"set-cookie", b"s%69d=B"), True, id="encoded"),
    pytest.param({"cookies": []}, (b"cookie", b"s%69d=A"), SETS, True, id="sent encoded"),
    pytest.param({"cookies": ["x"]}, SID, SETS, True, id="beside one in the key"),
    pytest.param({"cookies": ["sid"]}, SID, SETS, False, id="in the key"),
    pytest.param({"cookies": []}, (b"cookie", b"other=A"), SETS, False, id="not sent"),
    pytest.param({"cookies": []}, (b"accept", b"*/*"), SETS, False, id="no cookies sent"),
    pytest.param({"cookies": []}, SID, (b"set-cookie", b"SID=B"), False, id="another name"),
    pytest.param({"cookies": []}, SID, (b"set-cookie", b"a=sid=B"), False, id="in the value"),
    pytest.param({"cookies": []}, (b"cookie", b"=A"), (b"set-cookie", b"=B"), False, id="no name"),
    pytest.param({}, SID, SETS, False, id="not removed"),
    pytest.param({}, (b"cookie", b"_ga=A; sid=1"), SETS, False, id="sid not removed, _ga was"),
    pytest.param({}, (b"cookie", b"_ga=A"), (b"set-cookie", b"_ga=B"), True, id="ignored"),
    pytest.param(
        {"personal_cookies": ["u"]}, SID, SETS, True, id="removed, since nobody personal asks"
    ),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("options", "sent", "sets", "harms"), HARM)
def test_an_answer_that_sets_a_removed_cookie_is_asked_for_again(
    options: dict[str, Any], sent: Field, sets: Field, harms: bool, method: str
) -> None:
    kit = Kit({**ROUTE, **options})
    forward = kit.miss(get("/products/1", sent, method=method))
    decided = kit.head(forward, 200, (b"set-cookie", b"z=1"), sets)
    assert isinstance(decided, AskAgain if harms else Relayed)
    if isinstance(decided, AskAgain):
        again = decided.forward
        assert (again.fetch, again.rewrite, again.change) == (None, None, None)
        assert again.reason == "cookie-conflict"
    assert (reason_of(kit, get()) == "cookie-conflict") is harms
    assert kit.cache.stats().refused.get("products", {}).get("cookie-conflict", 0) == harms


@pytest.mark.parametrize("status", [200, 204, 302, 304, 404, 500])
@pytest.mark.parametrize("says", ["no-store", "private", "public, max-age=60"])
def test_whatever_else_the_answer_says(status: int, says: str) -> None:
    kit = Kit(NONE_READ)
    forward = kit.miss(get("/products/1", SID))
    assert isinstance(kit.head(forward, status, SETS, (b"cache-control", says.encode())), AskAgain)


def test_the_second_answer_is_relayed_as_it_is_and_never_kept() -> None:
    """I1: it was made for one visitor."""
    kit = Kit(NONE_READ)
    decided = kit.head(kit.miss(get("/products/1", SID)), 200, SETS)
    assert isinstance(decided, AskAgain)
    second = kit.head(decided.forward, 200, SETS, (b"cache-control", b"public, max-age=60"))
    assert isinstance(second, Relayed)
    assert (second.collector, second.answer.body) == (None, None)
    assert second.answer.headers[0] == SETS
    detail = (b"cache-status", b"cachemw; fwd=bypass; detail=cookie-conflict")
    assert second.answer.headers[-1] == detail
    assert list(kit.cache.memory.entries()) == []


def test_the_url_bypasses_for_a_minute_from_the_fast_path_too() -> None:
    """Guard: `Engine.mark_cookie_conflict` discards what the fast path would find."""
    kit = Kit({**NONE_READ, "cookies": ["lang"]})
    forwarded_proto = (b"x-forwarded-proto", b"https")
    requests = [
        get(),
        get("/products/1", forwarded_proto),
        get("/products/1", (b"cookie", b"lang=de")),
    ]
    for request in requests:
        kit.fill(request)
        assert kit.hit(request) is not None
    conflicting = kit.miss(get("/products/1", (b"cookie", b"lang=fr; sid=A")))
    assert isinstance(kit.head(conflicting, 200, SETS), AskAgain)
    for request in requests:
        assert kit.hit(request) is None
        assert reason_of(kit, request) == "cookie-conflict"
        decision = forwarded(step(kit.flow(request)))
        assert (decision.outcome, decision.fetch, decision.rewrite) == (Outcome.PASS, None, None)
    assert reason_of(kit, get("/products/2")) is None
    kit.clock.advance(59)
    assert reason_of(kit, get()) == "cookie-conflict"
    kit.clock.advance(2)
    assert reason_of(kit, get()) is None


def test_what_was_under_way_is_not_put_into_memory_meanwhile() -> None:
    """Guard: `Engine.keep_in_memory` looks for the mark."""
    kit = Kit(NONE_READ)
    slow = kit.miss(get("/products/1", (b"cookie", b"x=1"), method="GET"))
    slow.fetch.abandon() if slow.fetch else None
    conflicting = kit.miss(get("/products/1", SID))
    assert isinstance(kit.head(conflicting, 200, SETS), AskAgain)
    kit.keep(slow, b"late")
    assert kit.hit(get()) is None


def test_followers_go_on_unaltered_with_their_own_cookies() -> None:
    """I1: nobody gets another's cookie. Guard: `_coalesce` looks for the mark."""
    kit = Kit(NONE_READ)
    leader = kit.miss(get("/products/1", SID))
    others = [get("/products/1", (b"cookie", b"sid=%d" % number)) for number in range(3)]
    followers = [follow(kit, each) for each in others]
    assert isinstance(kit.head(leader, 200, SETS), AskAgain)
    for follower in followers:
        decision = forwarded(follower.wake(kit.now))
        assert (decision.outcome, decision.reason) == (Outcome.PASS, "cookie-conflict")
        assert (decision.fetch, decision.rewrite) == (None, None)
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


def test_a_refresh_is_dropped_as_before_and_marks_the_url() -> None:
    kit = Kit({**GRACE, "cookies": []})
    kit.fill(get())
    kit.clock.advance(61)
    serve = served(step(kit.flow(get("/products/1", SID))))
    assert serve.refresh is not None
    decided = kit.head(refreshing(serve.refresh), 200, SETS)
    assert isinstance(decided, Relayed)
    assert decided.collector is None
    assert reason_of(kit, get()) == "cookie-conflict"
    assert kit.hit(get()) is None


def test_a_method_that_may_change_something_is_called_once() -> None:
    kit = Kit({**NONE_READ, "methods": ["GET", "POST"], "body": "raw"})
    request = get("/products/1", SID, (b"content-length", b"1"), method="POST")
    forward = kit.miss(replace(request, content=Content(b"x")))
    assert forward.fetch is not None
    decided = kit.head(forward, 200, SETS)
    assert isinstance(decided, Relayed)
    assert decided.collector is None
    assert reason_of(kit, get()) == "cookie-conflict"


def test_a_304_to_our_own_conditions_is_no_exception() -> None:
    kit = Kit(NONE_READ)
    kit.fill(get(), b"body", (b"etag", b'"1"'))
    kit.clock.advance(61)
    forward = kit.miss(get("/products/1", SID))
    assert forward.fetch is not None
    assert forward.fetch.validates
    assert isinstance(kit.head(forward, 304, SETS), AskAgain)


def test_in_shadow_the_harm_is_counted_and_nothing_bypasses() -> None:
    kit = Kit(NONE_READ, flags={"high": "shadow"})
    for method in ("GET", "HEAD"):
        forward = kit.miss(get("/products/1", SID, method=method))
        assert forward.rewrite is None
        assert isinstance(kit.head(forward, 200, SETS), Relayed)
    assert kit.cache.stats().refused == {"products": {"cookie-conflict": 2}}
    assert reason_of(kit, get()) is None


def test_a_warning_names_the_route_once(caplog: pytest.LogCaptureFixture) -> None:
    kit = Kit(NONE_READ)
    for number in range(3):
        kit.head(kit.miss(get(f"/products/{number}", SID)), 200, SETS)
        kit.clock.advance(61)
    told = [record for record in caplog.records if "cookie_conflict" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"]
    assert "sid" not in told[0].getMessage()
