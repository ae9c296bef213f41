"""Below a mount: a purge reaches an answer by every spelling that the application takes for its URL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from django.test import override_settings

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Handler, Said, numbered

MOUNTS = {
    "/shop": ["/shop", "/%73hop", "/%73%68op", ""],
    "/en/a b": ["/en/a%20b", "/%65n/a%20%62", ""],
    "/caf\xe9": ["/caf%C3%A9", "/caf%c3%a9", ""],
    "/a+b;c": ["/a+b;c", "/a%2bb%3Bc", ""],
    "/100%": ["/100%25", "/%3100%25", ""],
    "/a%41": ["/a%2541", "/%61%2541", ""],
}
"""Mounts as the application knows them, and how they may stand on the wire: not at all, if something in front
of the server has taken them off."""
BELOW = ["/p", "/%70"]


FINAL_SLASH = ["/shop/", ""]
"""How `/shop/` as a mount may stand on the wire. It is configured so where it should be `/shop`."""


def in_hex(path: str) -> str:
    return "".join("/" if byte == 0x2F else f"%{byte:02x}" for byte in path.encode())


def urls(mount: str) -> list[str]:
    path = f"{mount}/p"
    usual = quote(path)
    typed = [] if "%" in path or ";" in path else [path, f"https://SHOP.example:443{path}"]
    return [usual, in_hex(path), f"http://shop.example{usual}", *typed]


def calls(mount: str) -> Iterator[Call]:
    """Yield a call for each spelling of the mount and of the path below it."""
    for raw in MOUNTS[mount]:
        for below in BELOW:
            yield Call(target=below, mount=mount, raw_mount=raw)


def changing(*fields: tuple[str, str]) -> Handler:
    reads = numbered()

    def handler(asked: Asked) -> Said | bytes:
        return reads(asked) if asked.method == "GET" else Said(body=b"done", headers=fields)

    return handler


def fill(door: Door, *wanted: Call) -> None:
    for call in wanted:
        door.ask(call)
        assert door.ask(call).hit


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_purge_by_url_reaches_every_spelling(open_door: OpenDoor, mount: str) -> None:
    # Guards: `paths_of`, and the folding of a path in `url_tags`.
    door = open_door({"/p": changing()})
    wanted = list(calls(mount))
    for url in urls(mount):
        fill(door, *wanted)
        assert door.cache.purge(urls=[url]).confirmed
        assert not any(door.ask(call).hit for call in wanted), url


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_write_reaches_every_spelling(open_door: OpenDoor, mount: str) -> None:
    # Guard: `invalid_tags` takes the paths that an entry has its tags from.
    door = open_door({"/p": changing()})
    wanted = list(calls(mount))
    for write in wanted:
        fill(door, *wanted)
        door.ask(replace(write, method="PUT"))
        assert not any(door.ask(call).hit for call in wanted), write


@pytest.mark.parametrize("mount", ["/shop", "/en/a b", "/caf\xe9", "/a%41"])
def test_it_does_so_where_the_server_does_not_tell_the_target(
    open_door: OpenDoor, mount: str
) -> None:
    door = open_door({"/p": changing()})
    wanted = [Call(target=below, mount=mount, tells_target=False) for below in BELOW]
    for url in urls(mount):
        door.ask(wanted[0])
        assert all(door.ask(call).hit for call in wanted)  # they look the same
        door.cache.purge(urls=[url])
        assert not door.ask(wanted[0]).hit
    door.ask(replace(wanted[1], method="PUT"))
    assert not door.ask(wanted[0]).hit
    door.cache.purge(urls=["/p"])  # another URL
    assert door.ask(wanted[0]).hit


@pytest.mark.parametrize("url", ["/shop/p", "http://shop.example/shop/%70"])
def test_a_slash_at_the_end_of_a_mount_does_not_count(open_door: OpenDoor, url: str) -> None:
    # Guard: the doors take it off. The route is bound to the mount without it.
    config = {"routes": [{"path": "/p", "mount": "/shop", "ttl": "60s"}]}
    door = open_door({"/p": changing()}, config=config)
    wanted = [Call(target="/p", mount="/shop/", raw_mount=raw) for raw in FINAL_SLASH]
    if door.ask(wanted[0]).status == 404:  # Django 6 under ASGI takes the path for `//p`
        pytest.skip("the framework itself does not take such a mount")
    fill(door, *wanted)
    door.cache.purge(urls=[url])
    assert not any(door.ask(call).hit for call in wanted)


@pytest.mark.parametrize("forced", ["/app", "/app/", ""])
@pytest.mark.parametrize("url", ["/app/p", "http://shop.example/app/%70"])
def test_the_mount_that_django_is_told_counts(open_door: OpenDoor, forced: str, url: str) -> None:
    door = open_door({"/p": changing()})
    if not door.kind.startswith("django"):
        pytest.skip("a setting of Django")
    if door.kind == "django-async" and not forced:
        pytest.skip("Django's path would begin with the mount")
    wanted = [Call(target=below, mount="" if forced else "/app") for below in BELOW]
    with override_settings(FORCE_SCRIPT_NAME=forced):
        fill(door, *wanted)
        door.cache.purge(urls=[url])
        assert not any(door.ask(call).hit for call in wanted)
        fill(door, *wanted)
        door.ask(replace(wanted[0], method="PUT"))
        assert not any(door.ask(call).hit for call in wanted)


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    "url", ["q", "/shop/q", "/sho%70/%71", "//shop.example/shop/q", "https://shop.example/shop/q"]
)
@pytest.mark.parametrize("raw", ["/shop", "/%73hop", ""])
def test_a_write_below_a_mount_reaches_what_its_answer_names(
    open_door: OpenDoor, name: str, url: str, raw: str
) -> None:
    door = open_door({"/p": changing((name, url)), "/q": numbered("q")})
    named = [Call(target="/q", mount="/shop", raw_mount=each) for each in ("/shop", "")]
    fill(door, *named)
    door.ask(Call(target="/p", mount="/shop", raw_mount=raw, method="POST"))
    assert not any(door.ask(call).hit for call in named)


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # of wsgiref's validator
@pytest.mark.parametrize("mount", ["/shop", "/a%41"])
def test_the_method_purge_reaches_every_spelling(open_door: OpenDoor, mount: str) -> None:
    # Guard: `_urls` of the endpoint.
    token = "0123456789abcdef"
    config = {"endpoint": {"token": token}, "routes": [{"path": "/p", "ttl": "60s"}]}
    door = open_door({"/p": changing()}, config=config)
    wanted = list(calls(mount))
    for order in wanted:
        fill(door, *wanted)
        headers = [("Authorization", f"Bearer {token}")]
        assert door.ask(replace(order, method="PURGE", headers=headers)).status == 200
        assert not any(door.ask(each).hit for each in wanted), order


@pytest.mark.parametrize("url", ["/shop", "/shop/", "/%73hop", "http://shop.example/shop"])
def test_the_root_of_a_mount_has_two_spellings(open_door: OpenDoor, url: str) -> None:
    # Guard: `paths_of` gives the mount alone, too.
    door = open_door({"/": changing()})
    roots = [Call(target="/", mount="/shop"), Call(target="", mount="/shop")]
    answered = [call for call in roots if door.ask(call).status == 200]  # some redirect
    assert answered
    fill(door, *answered)
    door.cache.purge(urls=[url])
    assert not any(door.ask(call).hit for call in answered)


SPELLINGS = [
    *("/p", "/%70", "//p", "///p", "/caf%C3%A9", "/caf%c3%a9", "/a+b", "/a%2bb", "/a;b", "/a%3Bb"),
    *("/%25FF", "/%ff", "/%FF", "/%fe"),
]


def test_what_the_framework_takes_for_one_path_is_purged_together(open_door: OpenDoor) -> None:
    """Flask merges slashes at the start. Each has a way of its own to write what is no UTF-8."""
    door = open_door({"/{rest:path}": lambda asked: ascii(asked.params["rest"]).encode()})
    seen_at = {each: door.get(each).body for each in SPELLINGS}
    taken = {each: seen for each, seen in seen_at.items() if door.get(each).hit}
    assert {"/p", "/%70", "/%ff", "/%fe"} <= taken.keys()
    for url, seen in taken.items():
        same = [each for each in taken if taken[each] == seen]
        fill(door, *(Call(target=each) for each in same))
        door.cache.purge(urls=[f"http://shop.example{url}"])
        assert not any(door.get(each).hit for each in same), url
        fill(door, *(Call(target=each) for each in same))
        door.get(url, method="PUT")
        assert not any(door.get(each).hit for each in same), url
