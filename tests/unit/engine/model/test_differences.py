"""How two answers differ: where, and never what they say."""

from __future__ import annotations

import gzip
import io
import json
from hashlib import blake2b
from typing import Any

import msgspec
import pytest

from cachemw.engine.model.differences import (
    ComparedResponse,
    compare,
    of_cookies,
    significant_part,
    volatile_parts,
)


def seen(body: Any = b"", *headers: tuple[bytes, bytes], status: int = 200) -> ComparedResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ComparedResponse(status, headers, blake2b(raw, digest_size=16).digest(), len(raw), raw)


@pytest.mark.parametrize(
    ("old", "new", "places"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["$.a"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["$.a.b[1]"]),
        ({"a": [1]}, {"a": [1, 2]}, ["$.a"]),
        ({"a": 1}, {"b": 1}, ["$.*"]),
        ({"c": {"alice": 1}}, {"c": {"bob": 1}}, ["$.c.*"]),
        ({"sk_live_4242": 1}, {"sk_live_4242": 2}, ["$.*"]),
        ({"line2": 1}, {"line2": 2}, ["$.line2"]),
        ({"paid": True}, {"paid": 1}, ["$.paid"]),
        ({"paid": [{"n": 0}]}, {"paid": [{"n": False}]}, ["$.paid[0].n"]),
        ({"n": 1}, {"n": 1.0}, ["$.n"]),
        (b"true", b"1", ["$"]),
        (b'{"a": 1}', b'{ "a" :1}', []),
        ({"a": 1, "b": 1}, {"b": 1, "a": 1}, []),
        ([{"x": 1}], [{"x": None}], ["$[0].x"]),
        ({"a": 1}, [1], ["$"]),
        ({"bob@example.org": 1}, {"bob@example.org": 2}, ["$.*"]),
        ({"x" * 41: 1}, {"x" * 41: 2}, ["$.*"]),
        (b"<p>1</p>", b"<p>12</p>", ["body, 8 -> 9 bytes"]),
        ({"a": 1}, b"not json", ["body, 8 -> 8 bytes"]),
        ({"a": list(range(30))}, {"a": list(range(1, 31))}, [f"$.a[{n}]" for n in range(20)]),
    ],
    ids=repr,
)
def test_where_bodies_differ(old: Any, new: Any, places: list[str]) -> None:
    found = compare(seen(old), seen(new), volatile_parts(()))
    assert (list(found.places) if found else []) == places


@pytest.mark.parametrize(
    ("declared", "same"),
    [
        ("$.items[*].age", True),
        ("$.items", True),
        ("$.items[0].age", False),
        ("$.items[1].age", True),
        ("$.items[*]", True),
        ("$.items[*].name", False),
        ("$.item", False),
        ("$.items[*].age.unix", False),
    ],
)
def test_what_is_declared_is_not_compared(declared: str, same: bool) -> None:
    old, new = ({"items": [{"age": 1}, {"age": age}]} for age in (2, 3))
    assert (compare(seen(old), seen(new), volatile_parts((declared,))) is None) is same


def test_what_is_declared_by_a_name_that_is_not_told_is_not_compared() -> None:
    old, new = ({"sha256": n, "n": {"sk_live_4242": n}} for n in (1, 2))
    assert compare(seen(old), seen(new), volatile_parts(("$.sha256", "$.n"))) is None
    found = compare(seen(old), seen(new), volatile_parts(("$.n",)))
    assert found is not None
    assert found.places == ("$.*",)


def test_a_place_is_told_in_a_few_words_however_deep_it_is() -> None:
    old, new = (b'{"member":' * 100 + n + b"}" * 100 for n in (b"1", b"2"))
    found = compare(seen(old), seen(new), volatile_parts(()))
    assert found is not None
    assert len(found.places[0]) == 201
    odd = compare(seen(b""), seen(b"", (b"x_alice@example", b"1")), volatile_parts(()))
    assert odd is not None
    assert odd.places == ("header *",)


def test_fields_are_compared_with_all_their_values_in_order() -> None:
    old = seen(b"", (b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"date", b"x"))
    new = seen(b"", (b"a", b"2"), (b"a", b"1"), (b"date", b"y"), (b"c", b""))
    found = compare(old, new, volatile_parts(("C",)))
    assert found is not None
    assert found.kinds == ("header",)
    assert found.places == ("header a", "header b")


def test_a_body_too_large_to_be_kept_is_compared_by_its_digest() -> None:
    old, new = (ComparedResponse(200, (), digest, 10**6, b"") for digest in (b"1", b"2"))
    found = compare(old, new, volatile_parts(("$.a",)))
    assert found is not None
    assert found.places == ("body, 1000000 -> 1000000 bytes",)
    assert compare(old, old, volatile_parts(())) is None


def packed(body: bytes, name: str) -> bytes:
    """Compress as Django does: a file name of random length hides how well it compresses."""
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=out, mtime=0) as file:
        file.write(body)
    return out.getvalue()


GZIP = (b"content-encoding", b"gzip")


def test_compressed_bodies_are_compared_by_what_is_in_them() -> None:
    old, new = (seen(packed(b'{"a": 1}', name), GZIP) for name in ("x", "xyz"))
    assert old.digest != new.digest
    assert compare(old, new, volatile_parts(())) is None
    found = compare(old, seen(packed(b'{"a": 2}', "x"), GZIP), volatile_parts(()))
    assert found is not None
    assert found.places == ("$.a",)


@pytest.mark.parametrize(
    "body",
    [b"no gzip", packed(b"x" * 100, "x")[:-9], packed(b"x" * (2 << 20), "x")],
    ids=["not-gzip", "truncated", "bomb"],
)
def test_what_cannot_be_unpacked_in_bounds_is_compared_as_it_is(body: bytes) -> None:
    found = compare(seen(body, GZIP), seen(body + b"x", GZIP), volatile_parts(()))
    assert found is not None
    assert found.kinds == ("body",)
    assert found.places == (f"body, {len(body)} -> {len(body) + 1} bytes",)


def test_fields_made_from_the_body_are_left_to_it() -> None:
    old, new = (seen({"at": n}, (b"etag", b'"%d"' % n)) for n in (1, 2))
    assert compare(old, new, volatile_parts(("$.at",))) is None
    assert compare(old, new, volatile_parts(())) is not None


def test_depth_is_no_way_to_make_it_fail() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    other = b"[" * 5000 + b"1" + b"]" * 5000
    assert compare(seen(deep), seen(other), volatile_parts(())) is not None


def timed(control: bytes, began: float, *more: tuple[bytes, bytes]) -> ComparedResponse:
    fields = ((b"cache-control", control), *more)
    return msgspec.structs.replace(seen(b"", *fields), began=began, ended=began + 0.5)


COUNTS = [
    (b"max-age=60", b"max-age=51", 9, True),
    (b"max-age=60", b"max-age=50", 9, True),  # rounded
    (b"max-age=60", b"max-age=55", 9, True),  # another process of the application counts too
    (b"public, s-maxage=60, max-age=10", b"public, s-maxage=51, max-age=1", 9, True),
    (b'max-age="60"', b"MAX-AGE=51", 9, False),
    (b'max-age="60"', b"max-age=51", 9, True),
    (b"max-age=60", b"max-age=0", 60, True),
    (b"max-age=5", b"max-age=60", 5, True),  # over, and made anew
    (b"max-age=60", b"max-age=40", 9, False),
    (b"max-age=60", b"max-age=61", 9, False),
    (b"max-age=60", b"max-age=0", 9, False),
    (b"max-age=0", b"max-age=60", 9, False),
    (b"max-age=60", b"private, max-age=51", 9, False),
    (b"max-age=60", b"no-store", 9, False),
    (b"stale-max-age=60", b"stale-max-age=51", 9, False),
]


@pytest.mark.parametrize(("old", "new", "later", "same"), COUNTS, ids=repr)
def test_a_lifetime_that_counts_down_is_no_difference(
    old: bytes, new: bytes, later: float, same: bool
) -> None:
    ages = ([], [(b"age", b"3"), (b"expires", b"x"), (b"date", b"x")])
    for more in ages:
        stored, fresh = timed(old, 100.0), timed(new, 100.0 + later, *more)
        assert (compare(stored, fresh, volatile_parts(())) is None) is same


def test_a_number_that_is_no_lifetime_must_be_the_same() -> None:
    stored, fresh = (seen(b"", (b"x-limit", b"max-age=%d" % number)) for number in (60, 59))
    assert compare(stored, fresh, volatile_parts(())) is not None


def test_a_cookie_is_told_by_its_name_if_that_tells_of_nobody() -> None:
    names = ("sessionid", "__Host-csrftoken", "lang2", "user_4711", "8f3a9c", "séance", "x" * 50)
    found = of_cookies(names)
    assert found.kinds == ("cookie",)
    assert found.places == (
        "cookie sessionid",
        "cookie __Host-csrftoken",
        "cookie lang2",
        "cookie *",
    )
    assert len(of_cookies(f"{chr(97 + n)}" for n in range(26)).places) == 20


@pytest.mark.parametrize(
    ("declared", "body", "counts"),
    [
        ((), {"a": 1}, {"a": 1}),
        (("$.a",), {"a": 1, "b": 2}, {"b": 2}),
        (("$.a.b",), {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        (("$.items[*].age",), {"items": [{"age": 1, "n": 2}]}, {"items": [{"n": 2}]}),
        (("$.items[1]",), {"items": [1, 2, 3]}, {"items": [1, None, 3]}),
        (("$.items[*]",), {"items": [1, 2]}, {"items": [None, None]}),
        (("$.items[7]",), {"items": [1]}, {"items": [1]}),
        (("$.a.b", "$.x[0].y"), {"a": 5, "x": {}}, {"a": 5, "x": {}}),
        (("$.gone",), [1], [1]),
    ],
    ids=repr,
)
def test_what_counts_of_a_body(declared: tuple[str, ...], body: Any, counts: Any) -> None:
    part = significant_part((), json.dumps(body).encode(), volatile_parts(declared))
    assert msgspec.json.decode(part) == counts


def test_of_a_body_that_is_no_json_everything_counts() -> None:
    deep = b"[" * 100_000
    for body in (b"<p>1</p>", b"", deep):
        assert significant_part((), body, volatile_parts(("$.a",))) == body


def test_the_padding_of_gzip_does_not_count() -> None:
    pairs = ((b"content-encoding", b"gzip"),)
    one, other = (gzip.compress(b"hello", mtime=when) for when in (1, 2))
    assert one != other
    parts = {significant_part(pairs, body, volatile_parts(())) for body in (one, other)}
    assert parts == {b"hello"}
