"""Private stays private (I1): cookies, Authorization, Set-Cookie, identities."""

from __future__ import annotations

import threading

import msgspec
import pytest

from cachemw.testing import FakeClock

from . import identities
from .conftest import OpenDoor
from .language import Call, Said, echo, numbered

# -- Set-Cookie ------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", ["", "public, max-age=60"])
def test_set_cookie_is_never_stored(open_door: OpenDoor, says: str) -> None:
    # Guard: `_forbidden` in cachemw.http.storing.
    fields = [("Set-Cookie", "session=1"), *([("Cache-Control", says)] if says else [])]
    door = open_door({"/p": numbered(headers=fields)}, cookies=[])
    replies = [door.get("/p"), door.get("/p", {"Cookie": "other=2"}), door.get("/p")]
    assert [reply.body for reply in replies] == [b"answer 1", b"answer 2", b"answer 3"]
    assert all((reply.field("set-cookie") or "").startswith("session=1") for reply in replies)


def test_set_cookie_is_never_shared_with_those_who_wait(open_door: OpenDoor) -> None:
    gate = threading.Event()

    def handler(asked: object) -> Said:
        user = door.calls
        return Said(body=b"%d" % user, headers=[("Set-Cookie", f"user={user}")], wait=gate)

    door = open_door({"/p": handler})
    calls = [Call(target="/p") for _ in range(5)]
    replies = door.together(calls, when=door.waiting(4), then=gate.set)
    assert sorted(reply.body for reply in replies) == [b"1", b"2", b"3", b"4", b"5"]
    for reply in replies:
        own = f"user={reply.body.decode()}"
        assert (reply.field("set-cookie") or "").startswith(own)


# -- Cookie ----------------------------------------------------------------------------------------


def test_a_request_with_cookies_goes_past_the_cache(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("cookie")})
    assert door.get("/p").body == b"cookie=None"
    for user in ("u=1", "u=2", "u=1"):
        assert door.get("/p", {"Cookie": user}).body == f"cookie={user}".encode()
    assert door.get("/p").body == b"cookie=None"
    assert door.calls == 4


def test_what_a_cookie_brought_forth_is_stored_for_nobody(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("cookie")})
    assert door.get("/p", {"Cookie": "u=1"}).body == b"cookie=u=1"
    assert door.get("/p").body == b"cookie=None"


def test_a_public_answer_serves_those_with_cookies_too(open_door: OpenDoor) -> None:
    public = [("Cache-Control", "public, max-age=60")]
    door = open_door({"/p": numbered(headers=public)})
    sent = [{}, {"Cookie": "u=1"}, {"Cookie": "u=2"}]
    assert [door.get("/p", headers).body for headers in sent] == [b"answer 1"] * 3


def test_an_answer_that_varies_on_cookie_is_kept_for_each_cookie(open_door: OpenDoor) -> None:
    varies = [("Vary", "Cookie"), ("Cache-Control", "max-age=60")]
    door = open_door({"/p": echo("cookie", headers=varies)})
    for user in ("u=1", "u=2", "u=1", "u=2"):
        assert door.get("/p", {"Cookie": user}).body == f"cookie={user}".encode()
    assert door.get("/p").body == b"cookie=None"
    assert door.calls == 3


def test_what_varies_on_cookie_is_kept_for_a_session_only_for_a_time_it_states(
    open_door: OpenDoor,
) -> None:
    door = open_door({"/p": echo("cookie", headers=[("Vary", "Cookie")])})
    assert [door.get("/p", {"Cookie": "u=1"}).calls for _ in range(2)] == [1, 2]
    assert [door.get("/p").calls for _ in range(2)] == [3, 3]
    assert door.get("/p", {"Cookie": "u=1"}).body == b"cookie=u=1"


def test_a_secret_that_an_answer_varies_on_does_not_stand_in_memory(open_door: OpenDoor) -> None:
    # Guard: `Variants.values` conceals it.
    varies = [("Vary", "Cookie, Authorization"), ("Cache-Control", "public, max-age=60")]
    door = open_door({"/p": numbered(headers=varies)})
    secret = {"Cookie": "session=s3cr3t-cookie", "Authorization": "Bearer s3cr3t-token"}
    assert [door.get("/p", secret).calls for _ in range(2)] == [1, 1]
    assert door.get("/p", {**secret, "Cookie": "session=other"}).calls == 2
    for item in door.cache.memory.entries():
        assert b"s3cr3t" not in msgspec.msgpack.encode(item)


def test_a_route_without_cookies_sees_none_and_serves_all(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("cookie")}, cookies=[])
    for cookie in ("u=1", "u=2", None):
        reply = door.get("/p", {"Cookie": cookie} if cookie else {})
        assert (reply.body, reply.calls) == (b"cookie=None", 1)
    assert door.seen.cookies == {}


def test_declared_cookies_are_keyed_and_seen_and_others_are_neither(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("cookie")}, cookies=["currency"])
    sent = [
        ("u=1; currency=EUR; v=2", b"cookie=currency=EUR"),
        ("currency=EUR; u=3", b"cookie=currency=EUR"),
        ("currency=USD", b"cookie=currency=USD"),
        ("u=1", b"cookie=None"),
        ("u=2; Currency=EUR", b"cookie=None"),
    ]
    for cookie, body in sent:
        assert door.get("/p", {"Cookie": cookie}).body == body
    assert (door.calls, door.seen.cookies) == (3, {})


ANALYTICS = "_ga=GA1.1.12.34; _gid=GA1.1.5.6; _fbp=fb.1.7.8"


def test_analytics_cookies_neither_bypass_nor_reach_the_application(open_door: OpenDoor) -> None:
    # Guard: `Config.remove_analytics_cookies` is on by default.
    door = open_door({"/p": echo("cookie")})
    for cookie in (ANALYTICS, "_ga=2", None, ""):
        reply = door.get("/p", {} if cookie is None else {"Cookie": cookie})
        assert (reply.body, reply.calls) == (b"cookie=None", 1)
    assert door.get("/p", {"Cookie": f"{ANALYTICS}; u=1"}).body == b"cookie=u=1"
    assert door.get("/p").calls == 2


def test_a_personal_cookie_bypasses_unaltered_and_all_others_share(open_door: OpenDoor) -> None:
    # Guard: `CookieRules.read` gives None for it, and `key` does, for the fast path.
    door = open_door({"/p": echo("cookie")}, settings={"personal_cookies": ["sessionid"]})
    for cookie in (ANALYTICS, "x=1", "theme=dark", None):
        reply = door.get("/p", {"Cookie": cookie} if cookie else {})
        assert (reply.body, reply.calls) == (b"cookie=None", 1)
    own = f"{ANALYTICS}; sessionid=A; x=1"
    for number in (2, 3):
        reply = door.get("/p", {"Cookie": own})
        assert (reply.body, reply.calls) == (f"cookie={own}".encode(), number)
        assert reply.detail == "personal-cookie"
    assert door.get("/p", {"Cookie": "x=2"}).body == b"cookie=None"


def test_an_empty_cookie_header_counts_as_none(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("cookie")})
    for cookie in ("", ";", " ; "):
        reply = door.get("/p", {"Cookie": cookie})
        assert (reply.body, reply.calls) == (b"cookie=None", 1)


def test_no_cookie_can_be_shaped_into_another(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("cookie")}, cookies=["a", "b"])
    cookies = ["a=1; b=2", "a=1", "b=2", "a=1; a=2", "a=2; a=1", "a=; b=", "a=", "a=b=2"]
    bodies = [door.get("/p", {"Cookie": cookie}).body for cookie in cookies]
    assert bodies == [f"cookie={cookie}".encode() for cookie in cookies]
    assert door.calls == len(cookies)


# -- Authorization (RFC 9111 §3.5) -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "shared"),
    [
        ("", False),
        ("max-age=60", False),
        ("public", True),
        ("s-maxage=60", True),
        ("must-revalidate, max-age=60", True),
        ("proxy-revalidate, max-age=60", False),
        ("private", False),
    ],
)
def test_answers_to_authorized_requests_are_shared_only_where_they_say_so(
    open_door: OpenDoor, says: str, shared: bool
) -> None:
    # Guard: `_personal` in cachemw.http.storing, `_is_for` in cachemw.engine.lookup.candidates.
    fields = [("Cache-Control", says)] if says else []
    door = open_door({"/p": echo("authorization", headers=fields)})
    one = door.get("/p", {"Authorization": "Bearer one"})
    two = door.get("/p", {"Authorization": "Bearer two"})
    nobody = door.get("/p")
    assert one.body == b"authorization=Bearer one"
    if shared:
        assert (two.body, nobody.body) == (one.body, one.body)
    else:
        assert (two.body, nobody.body) == (b"authorization=Bearer two", b"authorization=None")


def test_what_is_stored_for_the_unknown_is_not_served_to_the_known(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("authorization")})
    assert door.get("/p").body == b"authorization=None"
    for token in ("one", "two", "one"):
        own = {"Authorization": f"Bearer {token}"}
        assert door.get("/p", own).body == f"authorization=Bearer {token}".encode()


def test_known_clients_do_not_wait_for_each_other(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": echo("authorization", wait=gate)})
    tokens = ["one", "two", "three"]
    calls = [Call(target="/p", headers=[("Authorization", f"Bearer {t}")]) for t in tokens]
    replies = door.together(calls, when=lambda: door.calls == 3, then=gate.set)
    assert [reply.body for reply in replies] == [
        f"authorization=Bearer {token}".encode() for token in tokens
    ]


def test_an_authorized_request_does_not_renew_or_spoil_what_is_stored(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": echo("authorization")})
    door.get("/p")
    door.get("/p", {"Authorization": "Bearer one"})
    clock.advance(59)
    assert (door.get("/p").body, door.calls) == (b"authorization=None", 2)


# -- identity --------------------------------------------------------------------------------------


PRINCIPAL = f"{identities.__name__}:principal"


def test_an_identity_route_keeps_principals_apart(open_door: OpenDoor) -> None:
    door = open_door({"/me": echo("x-user")}, identity=PRINCIPAL)
    for user in ("ann", "bob", "ann", "bob"):
        assert door.get("/me", {"X-User": user}).body == f"x-user={user}".encode()
    assert door.calls == 2


def test_an_identity_route_answers_whom_it_does_not_know_without_the_cache(
    open_door: OpenDoor,
) -> None:
    door = open_door({"/me": numbered()}, identity=PRINCIPAL)
    assert [door.get("/me").body for _ in range(2)] == [b"answer 1", b"answer 2"]
    assert door.get("/me", {"X-User": "ann"}).body == b"answer 3"
    assert door.get("/me").body == b"answer 4"


def test_an_identity_function_that_fails_knows_nobody(open_door: OpenDoor) -> None:
    door = open_door({"/me": numbered()}, identity=f"{identities.__name__}:broken")
    replies = [door.get("/me", {"X-User": "ann"}) for _ in range(2)]
    assert [(reply.status, reply.body) for reply in replies] == [
        (200, b"answer 1"),
        (200, b"answer 2"),
    ]


def test_principals_that_are_told_by_a_cookie_or_a_token_are_kept_apart(
    open_door: OpenDoor,
) -> None:
    door = open_door({"/me": echo("cookie")}, identity=f"{identities.__name__}:session")
    for user in ("session=1", "session=2", "session=1", "session=2"):
        assert door.get("/me", {"Cookie": user}).body == f"cookie={user}".encode()
    assert door.calls == 2


def test_no_two_principals_share_a_flight(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/me": echo("x-user", wait=gate)}, identity=PRINCIPAL)
    users = ["ann", "bob", "ann", "bob"]
    calls = [Call(target="/me", headers=[("X-User", user)]) for user in users]
    replies = door.together(calls, when=door.waiting(2), then=gate.set)
    assert [reply.body for reply in replies] == [f"x-user={user}".encode() for user in users]
    assert door.calls == 2
