"""The query: what is keyed is what the application sees, byte by byte."""

from __future__ import annotations

import pytest

from .conftest import OpenDoor
from .language import Asked


def shown(asked: Asked) -> bytes:
    """Answer with the query as it stands and as the framework reads it."""
    return f"{asked.query} {sorted(asked.arguments)}".encode()


def test_without_rules_every_byte_of_the_query_counts(open_door: OpenDoor) -> None:
    door = open_door({"/p": shown})
    queries = ["", "a", "a=", "a=1", "a=1&", "a=1&b=2", "b=2&a=1", "a=%31", "a=%FF", "a=%FE", "A=1"]
    queries += ["a=1&a=2", "a=2&a=1", "a=1;b=2", "a=b=c", "a=b%3Dc", "a=+", "a=%20", "&a=1"]
    for _ in range(2):
        for query in queries:
            assert door.get(f"/p?{query}").body.startswith(f"{query} ".encode())
    assert door.calls == len(queries)


def test_a_bare_question_mark_is_no_query(open_door: OpenDoor) -> None:
    door = open_door({"/p": shown})
    assert door.get("/p").body == door.get("/p?").body
    assert door.seen.query == ""


def test_listed_parameters_are_keyed_in_any_order_and_nothing_else_is_seen(
    open_door: OpenDoor,
) -> None:
    door = open_door({"/p": shown}, query=["page", "sort"])
    same = ["page=2&sort=up", "sort=up&page=2", "page=2&x=1&sort=up", "utm_source=a&sort=up&page=2"]
    bodies = {door.get(f"/p?{query}").body for query in same}
    assert (len(bodies), door.calls) == (1, 1)
    assert door.seen.query == "page=2&sort=up"
    assert sorted(door.seen.arguments) == [("page", "2"), ("sort", "up")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("page=1", "page=2"),
        ("page", "page="),
        ("page=", ""),
        ("page=1&page=2", "page=2&page=1"),
        ("page=%31", "page=1"),
        ("page=1", "sort=1"),
        ("page=1;sort=2", "page=1&sort=2"),
    ],
)
def test_what_a_route_reads_tells_its_answers_apart(
    open_door: OpenDoor, one: str, other: str
) -> None:
    door = open_door({"/p": shown}, query=["page", "sort"])
    bodies = [door.get(f"/p?{query}").body for query in (one, other, one, other)]
    assert bodies[:2] == bodies[2:]
    assert door.calls == 2
    assert bodies[0] != bodies[1]


def test_no_parameter_is_read_where_none_is_listed(open_door: OpenDoor) -> None:
    door = open_door({"/p": shown}, query=[])
    for query in ("", "a=1", "b=2&a=1"):
        assert door.get(f"/p?{query}").body == b" []"
    assert door.calls == 1


def test_ignored_parameters_are_neither_keyed_nor_seen(open_door: OpenDoor) -> None:
    door = open_door({"/p": shown}, ignore_query=["utm_*", "gclid"])
    same = ["b=2&a=1", "b=2&utm_source=x&a=1", "gclid=9&b=2&a=1", "b=2&a=1&utm_=&utm_x"]
    assert {door.get(f"/p?{query}").body for query in same} == {b"b=2&a=1 [('a', '1'), ('b', '2')]"}
    assert door.calls == 1
    for other in ("a=1&b=2", "b=2&a=1&utm=1", "b=2&a=1&gclid2=1", "b=2&a=1&Gclid=1"):
        assert door.get(f"/p?{other}").body.startswith(f"{other} ".encode())
    assert door.calls == 5


@pytest.mark.parametrize("hidden", ["%70age=evil", "x=1&%70age=evil", "page=1%26sort=evil"])
def test_an_encoded_name_cannot_hide_from_the_key(open_door: OpenDoor, hidden: str) -> None:
    # What a framework decodes to a listed name is kept, and keyed with it.
    door = open_door({"/p": shown}, query=["page"])
    plain = door.get("/p?page=1").body
    evil = door.get(f"/p?{hidden}").body
    assert evil != plain
    assert door.get("/p?page=1").body == plain
    assert door.get("/p").body == b" []"


@pytest.mark.parametrize("hidden", ["utm%5Fsource=evil", "%75tm_source=evil"])
def test_an_encoded_name_cannot_hide_from_being_ignored(open_door: OpenDoor, hidden: str) -> None:
    door = open_door({"/p": shown}, ignore_query=["utm_*"])
    assert door.get(f"/p?a=1&{hidden}").body == door.get("/p?a=1").body
    assert (door.calls, door.seen.query) == (1, "a=1")


def test_what_is_removed_stays_removed_when_an_answer_is_renewed(open_door: OpenDoor) -> None:
    door = open_door({"/p": shown}, query=["page"])
    door.get("/p?evil=1&page=1")
    door.cache.purge(everything=True)
    assert door.get("/p?evil=2&page=1").body == b"page=1 [('page', '1')]"
