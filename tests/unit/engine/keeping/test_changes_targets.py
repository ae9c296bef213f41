"""What an unsafe request that succeeded makes invalid, and that it is the request's own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cachemw.engine.keeping.changes import invalid_tags
from cachemw.http.fields import Fields
from cachemw.http.messages import Head, Request
from tests.support.engine import Kit, get

KIT = Kit(
    {"path": "/p/{id}", "ttl": "60s", "query": ["page"]},
    {"path": "/f/{rest:path}", "ttl": "60s"},
)


def changed(request: Request, location: bytes | None = None) -> set[str]:
    """Give the tags that a POST to the same target makes invalid."""
    fields = [] if location is None else [(b"location", location)]
    head = Head(status=201, headers=Fields(fields))
    return set(invalid_tags(KIT.engine, replace(request, method="POST"), head))


OWN = [
    pytest.param(get("/p/1"), id="plain"),
    pytest.param(get("/p/1", query=b"page=2&x"), id="with a query"),
    pytest.param(get("/p/%C3%A9"), id="percent-encoded"),
    pytest.param(get("/p/1", mount="/shop"), id="below a mount"),
    pytest.param(replace(get("/p/é"), raw_path="/p/é".encode()), id="bytes that are no ASCII"),
    pytest.param(replace(get("/p/%FF"), raw_path=b"/p/\xff"), id="bytes that are no text"),
    pytest.param(replace(get("/p/1"), query=b"page=\xff"), id="such bytes in a query"),
    pytest.param(replace(get("/p/a#b"), raw_path=b"/p/a#b"), id="a fragment, which none is"),
    pytest.param(replace(get("/f/a\tb"), raw_path=b"/f/a\tb"), id="what urlsplit takes out"),
]


@pytest.mark.parametrize("request_", OWN)
def test_a_write_invalidates_what_a_read_of_its_target_is_kept_under(request_: Request) -> None:
    assert not changed(request_).isdisjoint(KIT.asked(request_).plan.tags)


def test_a_write_in_absolute_form_invalidates_the_page_of_its_path() -> None:
    """RFC 9112 §3.2.2: a server must accept it. The read of such a target goes past the cache."""
    request = replace(get("/p/1"), raw_path=b"http://shop.example/p/1")
    assert not changed(request).isdisjoint(KIT.asked(get("/p/1")).plan.tags)


def test_what_is_relative_is_so_to_the_path_as_it_came() -> None:
    request = replace(get("/p/a/x"), raw_path="/p/é/x".encode())
    assert not changed(request, b"../1").isdisjoint(KIT.asked(get("/p/1")).plan.tags)


TARGETS = [b"@other.example/p/1", b".example/p/1", b":80/p/1", b"3/p/1"]


@pytest.mark.parametrize("target", [*TARGETS, b"http://other.example/p/1"])
def test_a_target_does_not_end_the_host(target: bytes) -> None:
    """Behind the Host such a target makes another authority, whose entries are not its own."""
    tags = changed(replace(get("/p/1"), raw_path=target), b"2")
    assert tags == {"@shop.example/p/1", "@shop.example/p/2"}
    whole = replace(get("/p/1"), raw_path=target, path=target.decode())
    assert changed(whole, b"/p/1") == set()


@pytest.mark.parametrize(("raw", "named"), [(b"/shop", "/p/2"), (b"/shop/", "/shop/p/2")])
def test_what_is_relative_to_the_root_of_a_mount_is_found(raw: bytes, named: str) -> None:
    """Guard: each of `paths_of` is a base. Clients resolve against the URL that they asked for."""
    request = replace(get("/", mount="/shop"), raw_path=raw)
    mount, _, below = named.rpartition("/p/")
    other = replace(get(f"/p/{below}", mount=mount), raw_path=named.encode())
    assert not changed(request, b"p/2").isdisjoint(KIT.asked(other).plan.tags)


BELOW = [
    pytest.param(b"/shop/p/1", b"/shop/p/2", id="the mount is on the wire"),
    pytest.param(b"/%73hop/p/1", b"/shop/p/2", id="spelt otherwise"),
    pytest.param(b"/p/1", b"/shop/p/2", id="something in front took it off"),
    pytest.param(b"/p/1", b"/p/2", id="and the application does not know"),
    pytest.param(b"/p/1", b"2", id="relative"),
    pytest.param(b"/p/1", b"https://shop.example/shop/p/2", id="TLS ends in front"),
]


@pytest.mark.parametrize(("raw", "location"), BELOW)
def test_what_an_answer_below_a_mount_names_is_found(raw: bytes, location: bytes) -> None:
    """Guards: `paths_of` for both, and both schemes as the base."""
    request = replace(get("/p/1", mount="/shop"), raw_path=raw)
    named = replace(request, path="/p/2", raw_path=raw.replace(b"1", b"2"))
    assert not changed(request, location).isdisjoint(KIT.asked(named).plan.tags)
