"""Nonces: on a route with `csp_nonce`, each client gets a page with a nonce of its own."""

from __future__ import annotations

import re
from secrets import token_urlsafe
from typing import Any

import pytest

from cachemw import hole
from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .language import Asked, Handler, Reply, Said

CSP = "Content-Security-Policy"


def page(
    *, policy: str = "script-src 'nonce-{0}' 'self'", body: str = "<script nonce={0}>"
) -> Handler:
    def handler(asked: Asked) -> Said:
        nonce = token_urlsafe(16)
        return Said(body=body.format(nonce).encode(), headers=[(CSP, policy.format(nonce))])

    return handler


def nonces(reply: Reply) -> tuple[list[str], list[str]]:
    """Give the nonces in the policies of a reply, and those in its body."""
    policies = [value for name, value in reply.headers if name.startswith(CSP.lower())]
    return (
        [each for policy in policies for each in re.findall("'nonce-([^']+)'", policy)],
        re.findall(r"nonce=([^>]+)>", reply.body.decode()),
    )


PAGES: dict[str, Handler] = {
    "one": page(),
    "many": page(body="<script nonce={0}>" * 5),
    "two policies": lambda asked: Said(
        body=b"<script nonce=%s>" % (nonce := token_urlsafe(16).encode()),
        headers=[
            (CSP, f"script-src 'nonce-{nonce.decode()}'"),
            (f"{CSP}-Report-Only", f"style-src 'nonce-{nonce.decode()}'"),
        ],
    ),
    "only in the header": page(body="<p>"),
}


@pytest.mark.parametrize("way", PAGES)
def test_each_answer_has_a_nonce_of_its_own(open_door: OpenDoor, way: str) -> None:
    door = open_door({"/p": PAGES[way]}, cookies=[], csp_nonce=True)
    seen = set()
    for number in range(3):
        reply = door.get("/p")
        assert reply.hit == (number > 0)
        in_header, in_body = nonces(reply)
        assert len(set(in_header + in_body)) == 1
        assert len(in_header[0]) == 22
        assert "cachemw" not in "".join(value for _, value in reply.headers if "nonce-" in value)
        seen.add(in_header[0])
    assert (len(seen), door.calls) == (3, 1)
    (entry,) = door.cache.memory.entries()
    assert not any(nonce.encode() in entry.body for nonce in seen)


def test_two_nonces_stay_two(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        a, b = token_urlsafe(16), token_urlsafe(16)
        policy = f"script-src 'nonce-{a}'; style-src 'nonce-{b}'"
        return Said(body=f"<script nonce={a}><style nonce={b}>".encode(), headers=[(CSP, policy)])

    door = open_door({"/p": handler}, cookies=[], csp_nonce=True)
    for _ in range(2):
        in_header, in_body = nonces(door.get("/p"))
        assert in_header == in_body
        assert len(set(in_header)) == 2


def test_it_is_never_called_current(open_door: OpenDoor) -> None:
    # A 304 would bring a new policy, beside a body with the old nonce.
    door = open_door({"/p": page()}, cookies=[], csp_nonce=True)
    assert door.get("/p").field("etag") is None
    reply = door.get(
        "/p", {"If-None-Match": "*", "If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}
    )
    assert (reply.status, reply.hit) == (200, True)


def test_a_head(open_door: OpenDoor) -> None:
    door = open_door({"/p": page()}, cookies=[], csp_nonce=True)
    door.get("/p")
    first, second = (nonces(door.get("/p", method="HEAD"))[0] for _ in range(2))
    assert first != second


REFUSED: dict[str, tuple[Handler, dict[str, Any]]] = {
    "without the option": (page(), {}),
    "too short": (
        lambda asked: Said(body=b"<script nonce=abc>", headers=[(CSP, "script-src 'nonce-abc'")]),
        {"csp_nonce": True},
    ),
    "streamed": (
        lambda asked: Said(
            body=iter([b"<script nonce=", b"a" * 22, b">"]),
            headers=[(CSP, f"script-src 'nonce-{'a' * 22}'")],
        ),
        {"csp_nonce": True},
    ),
    "in another header too": (
        lambda asked: Said(
            headers=[(CSP, f"script-src 'nonce-{'a' * 22}'"), ("X-Nonce", "a" * 22)]
        ),
        {"csp_nonce": True},
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_it_is_not_stored(open_door: OpenDoor, way: str) -> None:
    handler, options = REFUSED[way]
    door = open_door({"/p": handler}, name="p", cookies=[], **options)
    first, second = door.get("/p"), door.get("/p")
    assert (first.calls, second.calls) == (1, 2)
    in_header, in_body = nonces(second)
    assert set(in_body) <= set(in_header)
    assert door.cache.stats().refused == {"p": {"nonce": 2}}


def test_with_a_hole_of_another_kind(open_door: OpenDoor, clock: FakeClock) -> None:
    def handler(asked: Asked) -> Said:
        nonce = token_urlsafe(16)
        body = f"<script nonce={nonce}>{hole('basket')}".encode()
        return Said(body=body, headers=[(CSP, f"script-src 'nonce-{nonce}'")])

    door = open_door(
        {"/p": handler},
        settings={"holes": {"basket": "tests.doors.holes:basket"}},
        personal_cookies=["sessionid"],
        csp_nonce=True,
    )
    for name in ("ann", "bob"):
        reply = door.get("/p", {"Cookie": f"basket={name}"})
        in_header, in_body = nonces(reply)
        assert in_header == in_body
        assert reply.body.endswith(f"<b>basket={name}</b>".encode())
    assert door.calls == 1


def test_in_shadow_nonces_are_no_mismatch(open_door: OpenDoor) -> None:
    door = open_door(
        {"/p": page()},
        settings={"flags": {"low": "shadow"}},
        risk="low",
        cookies=[],
        csp_nonce=True,
    )
    for _ in range(3):
        in_header, in_body = nonces(door.get("/p"))
        assert in_header == in_body
    assert door.cache.stats().by_label == {"shadow_miss": 1, "shadow_hit": 2}
