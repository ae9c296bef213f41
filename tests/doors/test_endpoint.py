"""Purging by HTTP, behind every front door: off by default, and then only for who has a token."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from .conftest import OpenDoor
from .doors import Door
from .language import Call, Fields, Reply, numbered, pairs_of
from .test_purge import ROUTES, TARGETS

TOKEN = "the-operators-token"
PATH = "/.cachemw/purge"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SETTINGS: dict[str, Any] = {"endpoint": {"token": TOKEN}}

pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # wsgiref's validator


@pytest.fixture
def shop(open_door: OpenDoor) -> Door:
    """Give a shop with an endpoint, whose every target is in the cache."""
    return stocked(open_door, SETTINGS)


def stocked(open_door: OpenDoor, settings: dict[str, Any], **route: Any) -> Door:
    handlers = {"/products/{id}": numbered("p"), "/orders/{id}": numbered("o"), PATH: numbered("a")}
    config = {"routes": [{**each, **route} for each in ROUTES], **settings}
    door = open_door(handlers, config=config)
    for target in TARGETS:
        door.get(target)
    return door


def purged(door: Door) -> list[str]:
    """Give the targets that are not in the cache any more."""
    return [target for target in TARGETS if not door.get(target).hit]


def purge(door: Door, target: str, headers: Fields = BEARER, **further: Any) -> Reply:
    return door.get(target, headers, method="PURGE", **further)


def post(
    door: Door, order: Any, headers: Fields = BEARER, kind: str = "application/json", **further: Any
) -> Reply:
    body = order if isinstance(order, bytes) else json.dumps(order).encode()
    fields = [*pairs_of(headers), ("Content-Type", kind)]
    call: dict[str, Any] = {"target": PATH, "method": "POST", "headers": fields, "body": body}
    return door.ask(Call(**{**call, **further}))


# -- off -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"endpoint": {"path": PATH}}], ids=["default", "no token"]
)
def test_off_by_default_everything_is_the_application_s(
    open_door: OpenDoor, settings: dict[str, Any]
) -> None:
    door = stocked(open_door, settings)
    assert post(door, {"everything": True}).body == b"a 1"
    assert door.get(PATH, BEARER).body == b"a 2"
    assert purged(door) == []
    reply = purge(door, "/products/1")  # what the application says of the method
    assert "cachemw; fwd=" in (reply.field("cache-status") or "")
    assert set(purged(door)) <= {"/products/1"}  # RFC 9111 4.4: an unknown method, if it succeeds


# -- PURGE -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "further", "gone"),
    [
        ("/products/1", {}, ["/products/1"]),
        ("/products/1?page=2", {}, ["/products/1?page=2"]),
        ("/%70roducts/2", {}, ["/products/2"]),
        ("/products/2", {"hosts": ["SHOP.example:80"]}, ["/products/2"]),
        ("/products/2", {"hosts": ["other.example"]}, []),
        ("/nowhere", {}, []),
    ],
    ids=repr,
)
def test_a_purge_takes_the_url_that_it_is_sent_to(
    shop: Door, target: str, further: dict[str, Any], gone: list[str]
) -> None:
    before = shop.calls
    reply = purge(shop, target, **further)
    assert (reply.status, shop.calls) == (200, before)
    assert json.loads(reply.body) == {
        "status": "confirmed",
        "reached": 1,
        "waiting": 0,
        "everything": False,
    }
    assert reply.field("cache-control") == "no-store"
    assert reply.field("content-type") == "application/json"
    assert purged(shop) == gone


def test_a_purge_takes_the_very_bytes_of_a_query(shop: Door) -> None:
    # Guard: `_target` in cachemw.engine.request.urls encodes half surrogates as the bytes they stand for.
    if shop.kind in ("django-async", "flask"):
        pytest.skip("the framework itself refuses a query that is no UTF-8")
    target = "/products/1?q=\xe4"
    shop.get(target)
    assert shop.get(target).hit
    assert purge(shop, target).status == 200
    assert not shop.get(target).hit


def test_a_purge_below_a_mount_takes_the_url_below_it(shop: Door) -> None:
    if shop.kind.startswith("django"):
        pytest.skip("the test's URLs are not mounted there")
    assert not shop.get("/products/1", mount="/shop").hit
    assert shop.get("/products/1", mount="/shop").hit
    assert purge(shop, "/products/1", mount="/shop").status == 200
    assert shop.get("/products/1").hit
    assert not shop.get("/products/1", mount="/shop").hit


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({"Cache-Tag": "product:1, order:1"}, ["/products/1", "/products/1?page=2", "/orders/1"]),
        ({"Surrogate-Key": "product:2 none"}, ["/products/2"]),
        ({"Cache-Tag": "product:*"}, TARGETS[:3]),
    ],
    ids=repr,
)
def test_a_purge_may_name_tags_instead(shop: Door, fields: dict[str, str], gone: list[str]) -> None:
    assert purge(shop, "/anything", {**BEARER, **fields}).status == 200
    assert purged(shop) == gone


@pytest.mark.parametrize("name", ["Cachemw-Soft-Purge", "Fastly-Soft-Purge"])
def test_a_purge_may_be_soft(open_door: OpenDoor, name: str) -> None:
    door = stocked(open_door, SETTINGS, stale_while_revalidate="30s")
    assert purge(door, "/orders/1", {**BEARER, name: "1"}).status == 200
    assert (door.get("/orders/1").body, door.get("/products/1").detail) == (b"o 1", "memory")
    door.until(lambda: door.calls == 5 and door.idle())
    assert door.get("/orders/1").body == b"o 2"


# -- POST ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "gone"),
    [
        ({"tags": ["product:1"]}, ["/products/1", "/products/1?page=2"]),
        ({"urls": ["/products/2", "http://shop.example/orders/1"]}, ["/products/2", "/orders/1"]),
        ({"routes": ["orders"]}, ["/orders/1"]),
        ({"everything": True}, TARGETS),
    ],
    ids=repr,
)
def test_an_order_takes_what_it_names(shop: Door, order: dict[str, Any], gone: list[str]) -> None:
    before = shop.calls
    reply = post(shop, order)
    assert (reply.status, json.loads(reply.body)["status"]) == (200, "confirmed")
    assert shop.calls == before
    assert purged(shop) == gone


def test_a_dry_run_says_what_would_go_and_purges_nothing(shop: Door) -> None:
    reply = post(shop, {"routes": ["products"], "dry_run": True})
    found = json.loads(reply.body)
    assert reply.status == 200
    assert found["tags"] == ["@route:products"]
    assert (found["memory"]["entries"], found["memory"]["routes"]) == (3, {"products": 3})
    assert (found["redis"], found["complete"]) == (None, True)
    assert purged(shop) == []


@pytest.mark.parametrize("split", [0, 3])
def test_a_body_may_come_in_pieces(shop: Door, split: int) -> None:
    assert post(shop, {"tags": ["all"]}, split=split).status == 200
    assert purged(shop) == TARGETS


@pytest.mark.parametrize(
    ("order", "further", "status"),
    [
        (b"{", {}, 400),
        ({"tag": ["a"]}, {}, 400),
        ({"tags": ["@own"]}, {}, 400),
        ({"tags": ["a:b*"]}, {}, 400),
        ({"urls": ["no path"]}, {}, 400),
        ({"routes": ["nope"]}, {}, 400),
        ({"routes": ["nope"], "dry_run": True}, {}, 400),
        ({}, {}, 400),
        ({"tags": ["x" * 70_000]}, {}, 413),
        (b"", {"method": "GET"}, 405),
        (b"", {"method": "DELETE"}, 405),
        ({"tags": ["all"]}, {"kind": "text/plain"}, 415),
    ],
    ids=repr,
)
def test_what_is_no_order_is_refused_and_purges_nothing(
    shop: Door, order: Any, further: dict[str, Any], status: int
) -> None:
    before = shop.calls
    reply = post(shop, order, **further)
    assert (reply.status, shop.calls) == (status, before)
    assert list(json.loads(reply.body)) == ["error"]
    assert reply.field("cache-control") == "no-store"
    assert purged(shop) == []


def test_a_body_without_a_length_is_read_no_further_than_an_order_goes(shop: Door) -> None:
    # Guard: the limit that front doors read a body up to.
    if not shop.kind.startswith(("asgi", "starlette", "fastapi")):
        pytest.skip("servers for these tests give a length there")
    reply = post(shop, {"tags": ["x" * 200_000]}, chunked=True, split=1000)
    assert reply.status == 413
    assert purged(shop) == []


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{}, {"Authorization": "Bearer another"}, {"Authorization": f"Basic {TOKEN}"}],
    ids=repr,
)
def test_without_the_token_nothing_is_purged_or_told(
    shop: Door, caplog: pytest.LogCaptureFixture, fields: dict[str, str]
) -> None:
    before = shop.calls
    with caplog.at_level(logging.WARNING, "cachemw.faults"):
        replies = [
            purge(shop, "/products/1", fields),
            purge(shop, "/nowhere", fields),
            post(shop, {"everything": True}, fields),
            post(shop, b"junk", fields),
            shop.get(PATH, fields),
        ]
    for reply in replies:
        assert (reply.status, reply.body) == (401, replies[0].body)
        assert reply.field("www-authenticate") == "Bearer"
    assert shop.calls == before
    assert purged(shop) == []
    assert shop.cache.stats().events["endpoint_refused"] == {"token": 5}
    said = [record.message for record in caplog.records if "endpoint" in record.message]
    assert said == ["event=endpoint_refused reason=token"]  # once a minute


def test_it_works_while_the_cache_is_off(shop: Door) -> None:
    """Fails when orders are met behind the flags: what is stored would be served when they are on."""
    shop.cache.flags.kill()
    assert purge(shop, "/products/1").status == 200
    assert post(shop, {"routes": ["orders"]}).status == 200
    shop.cache.flags.set({"kill": "off"})
    assert purged(shop) == ["/products/1", "/orders/1"]


def test_a_fault_of_ours_is_told_and_reaches_no_application(
    shop: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the last `except` in `execute`."""

    def broken(**_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(shop.cache._core.purger, "wanted", broken)
    before = shop.calls
    assert purge(shop, "/products/1").status == 500
    assert shop.calls == before


def test_a_fault_in_telling_orders_from_requests_costs_nobody_an_answer(
    shop: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: the `except` in `PurgeOrders.matches`.
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("cachemw.frontdoor.purge_endpoint.PurgeEndpoint.matches", broken)
    assert shop.get("/products/3").body == b"p 4"
