"""Keys: two requests share one if and only if nothing that may change the answer tells them apart."""

from __future__ import annotations

from struct import unpack
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachemw.engine.model.keys import KeyMaker, decode_parts, encode_parts
from cachemw.engine.request.key_contents import read_key
from cachemw.engine.request.urls import purged_tags
from cachemw.http.messages import Content, Request
from tests.support.engine import Kit, get
from tests.support.examples import examples

PARTS = st.lists(st.none() | st.binary(max_size=8), max_size=6)
LENGTH_LIKE = st.lists(
    st.sampled_from(
        [None, b"", b"\0", b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\0\0\0\1a"]
    ),
    max_size=6,
)


@given(PARTS | LENGTH_LIKE, PARTS | LENGTH_LIKE)
def test_two_sequences_are_encoded_alike_only_if_they_are_equal(a: Any, b: Any) -> None:
    assert (encode_parts(a) == encode_parts(b)) is (a == b)


@given(PARTS, PARTS)
def test_nesting_is_told_from_joining(a: Any, b: Any) -> None:
    nested = encode_parts([encode_parts(a), encode_parts(b)])
    assert (nested == encode_parts([encode_parts([*a, *b])])) is False
    if (a, b) != ([*a, *b], []):
        assert nested != encode_parts([encode_parts([*a, *b]), encode_parts([])])


@given(PARTS)
def test_an_encoding_can_be_read_back(parts: list[bytes | None]) -> None:
    data = encode_parts(parts)
    (count,) = unpack(">i", data[:4])
    lengths = unpack(f">{count}i", data[4 : 4 + 4 * count])
    data = data[4 + 4 * count :]
    read: list[bytes | None] = []
    for length in lengths:
        read.append(None if length < 0 else data[:length])
        data = data[max(length, 0) :]
    assert (read, data) == (parts, b"")
    assert decode_parts(encode_parts(parts)) == parts


@given(PARTS, st.binary(max_size=40), st.integers(0, 60), st.integers(0, 4))
@example([b""], b"\xff\xff\xff\xfe", 4, 4)
def test_what_is_no_encoding_is_not_read_as_one(
    parts: list[bytes | None], put: bytes, at: int, less: int
) -> None:
    """Fails without any one of the three checks in `decode_parts`."""
    whole = encode_parts(parts)
    damaged = whole[:at] + put + whole[at + less :]
    try:
        read = decode_parts(damaged)
    except ValueError:
        return
    assert encode_parts(read) == damaged


def test_the_encoding_is_the_number_of_parts_their_lengths_and_their_bytes() -> None:
    """Entries in Redis hold it, and processes of two releases read them."""
    encoded = b"\0\0\0\3" + b"\0\0\0\2\xff\xff\xff\xff\0\0\0\0" + b"ab"
    assert encode_parts([b"ab", None, b""]) == encoded
    assert decode_parts(encoded) == [b"ab", None, b""]


DAMAGED = [
    pytest.param(b"", "it ends within the lengths", id="nothing"),
    pytest.param(b"\0\0\0\1\0\0\0", "it ends within the lengths", id="half a length"),
    pytest.param(b"\0\0\0\1\xff\xff\xff\xfe", "a length is negative", id="a length of -2"),
    pytest.param(b"\0\0\0\1\0\0\0\2a", "the lengths do not add up", id="a byte is missing"),
    pytest.param(b"\0\0\0\1\0\0\0\2abc", "the lengths do not add up", id="a byte too many"),
]


@pytest.mark.parametrize(("data", "why"), DAMAGED)
def test_it_says_what_is_wrong_with_an_encoding(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=f"^not an encoding of parts: {why}$"):
        decode_parts(data)


def test_digests_stay_as_they_are() -> None:
    """Processes of two releases share the entries in Redis: a digest that changes finds none of them."""
    maker = KeyMaker("shop", b"s")
    assert (
        maker.make([b"a", None]).digest.hex() == "f379cea37b9661fb98b2c7fca014f0f5d0a2398473f02af3"
    )
    concealed = "945458c3d909f44f2c5f945482aecd9077c5954d07ee9d2aa12f769609183e83"
    assert maker.conceal(b"token").hex() == concealed


def test_namespaces_and_secrets_have_keys_of_their_own() -> None:
    parts = [b"a", None]
    key = KeyMaker("one", b"s").make(parts)
    assert key == KeyMaker("one", b"s").make(parts)
    assert KeyMaker("two", b"s").make(parts).full != key.full
    assert KeyMaker("one", b"t").make(parts).full == key.full
    assert KeyMaker("one", b"t").make(parts).digest != key.digest
    assert len(key.digest) == 24


@given(PARTS, PARTS, PARTS)
def test_a_variant_has_no_primary_key_and_no_other_variant_s(a: Any, b: Any, c: Any) -> None:
    maker = KeyMaker("shop", b"s")
    primary = maker.make(a)
    assert maker.extend(primary, b) != primary
    assert maker.extend(primary, b).full != maker.make(b).full
    assert (maker.extend(primary, b) == maker.extend(primary, c)) is (b == c)


def test_a_concealed_value_is_a_keyed_digest() -> None:
    one, other = KeyMaker("shop", b"s"), KeyMaker("shop", b"t")
    assert one.conceal(b"token") == one.conceal(b"token")
    assert one.conceal(b"token") != other.conceal(b"token")
    assert b"token" not in one.conceal(b"token")


# Whole requests -----------------------------------------------------------------------------------

KIT = Kit(
    {
        "path": "/me/{rest:path}",
        "ttl": "1m",
        "identity": "who",
        "cookies": ["c", "ca"],
        "vary": ["X", "X-Y"],
    },
    {"path": "/{rest:path}", "ttl": "1m", "cookies": ["c", "ca"], "vary": ["X", "X-Y"]},
    identities={"who": lambda request: dict(request.headers).get(b"who", b"").decode() or None},
)


class Asked(NamedTuple):
    """What tells requests apart, in a normal form."""

    scheme: str
    host: bytes
    mount: str
    path: str
    query: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    cookies: tuple[tuple[bytes, bytes], ...]
    identity: str | None

    def request(self, *extra: tuple[bytes, bytes]) -> Request:
        fields = list(self.fields)
        if self.cookies:
            fields.append((b"cookie", b"; ".join(b"=".join(pair) for pair in self.cookies)))
        if self.identity is not None:
            fields.append((b"who", self.identity.encode()))
        return get(
            ("/me" if self.identity is not None else "") + self.path,
            *fields,
            *extra,
            query=self.query,
            host=self.host,
            mount=self.mount,
            scheme=self.scheme,
        )


# Alphabets so small that near misses are the rule: the same letters on both sides of each border.
WORD = st.text(alphabet="ac=&", max_size=3).map(str.encode)
ASKED = st.builds(
    Asked,
    scheme=st.sampled_from(["http", "https"]),
    host=st.sampled_from([b"a", b"ac", b"a:81", b"c"]),
    mount=st.sampled_from(["", "/a", "/a/c"]),
    path=st.sampled_from(["/", "/a", "/a/", "/a/c", "//a", "/%61", "/%FF", "/%FE", "/a;c", "/A"]),
    query=st.sampled_from([b"", b"a", b"a=", b"a=c", b"c=&a", b"a&c=", b"%61", b"a+c", b"a%20c"]),
    fields=st.dictionaries(
        st.sampled_from([b"x", b"x-y", b"x-forwarded-proto", b"origin"]), WORD, max_size=3
    ).map(lambda fields: tuple(fields.items())),
    cookies=st.lists(
        st.tuples(
            st.sampled_from([b"c", b"ca"]), st.text(alphabet="ac=", max_size=2).map(str.encode)
        ),
        max_size=2,
    ).map(tuple),
    identity=st.none() | st.sampled_from(["a", "c", "ac"]),
)


def normal(asked: Asked) -> Asked:
    """The order of different fields does not count; which field, value and cookie order do."""
    return asked._replace(fields=tuple(sorted(asked.fields)))


@st.composite
def near(draw: st.DrawFn, first: Asked, second: Asked) -> Asked:
    """Give the second request, or the first with one thing of the second's."""
    name = draw(st.sampled_from((None, "one of its fields", "one of its cookies", *Asked._fields)))
    if name == "one of its fields" and second.fields:
        field = draw(st.sampled_from(second.fields))
        return first._replace(fields=tuple({**dict(first.fields), field[0]: field[1]}.items()))
    if name == "one of its cookies" and first.cookies and second.cookies:
        return first._replace(cookies=(*first.cookies[:-1], second.cookies[-1]))
    return first._replace(**{name: getattr(second, name)}) if name in Asked._fields else second


@settings(max_examples=examples(500), deadline=None)
@given(ASKED, ASKED, st.data())
def test_requests_share_a_key_only_if_they_are_equal(
    first: Asked, second: Asked, data: st.DataObject
) -> None:
    second = data.draw(near(first, second))
    keys = [KIT.asked(asked.request()).plan.key for asked in (first, second)]
    same = normal(first) == normal(second)
    assert (keys[0].full == keys[1].full) is same
    assert (keys[0].digest == keys[1].digest) is same


UNKEYED = [
    pytest.param((b"accept", b"*/*"), id="an undeclared field"),
    pytest.param((b"cookie", b"sid=1; other=2"), id="undeclared cookies"),
    pytest.param((b"x-forwarded-for", b"10.0.0.1"), id="a removed field"),
    pytest.param((b"if-none-match", b'"a"'), id="a condition"),
]


@pytest.mark.parametrize("field", UNKEYED)
@given(ASKED)
def test_what_the_application_does_not_read_is_not_keyed(
    field: tuple[bytes, bytes], asked: Asked
) -> None:
    plain, extra = KIT.asked(asked.request()), KIT.asked(asked.request(field))
    assert plain.plan.key == extra.plan.key


SAME = [
    pytest.param(
        get("/x", (b"x", b"1"), (b"x", b"2")),
        get("/x", (b"x", b"1, 2")),
        id="9110 5.3 lines joined",
    ),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_spellings_of_one_request_share_a_key(first: Request, second: Request) -> None:
    assert KIT.asked(first).plan.key == KIT.asked(second).plan.key


DIFFERENT = [
    pytest.param(get(host=b"a:80"), get(host=b"a"), id="the application sees the default port"),
    pytest.param(
        get(host=b"a:443", scheme="https"),
        get(host=b"a", scheme="https"),
        id="the application sees the default port of https",
    ),
    pytest.param(get(host=b"A"), get(host=b"a"), id="the application sees the case of the host"),
    pytest.param(get(host=b"a."), get(host=b"a"), id="the application sees the final dot"),
    pytest.param(get("/a", mount="/b"), get("/b/a"), id="a mount is told from a path"),
    pytest.param(get("/%41"), get("/A"), id="raw bytes are keyed"),
    pytest.param(get(query=b"a"), get(query=b"a="), id="a is not a="),
    pytest.param(get("/x", (b"x", b"")), get("/x"), id="an empty field is not an absent one"),
    pytest.param(
        get("/x", (b"x", b"1"), (b"x-y", b"2")),
        get("/x", (b"x", b"1"), (b"x-y", b"3")),
        id="every field counts",
    ),
    pytest.param(
        get("/x", (b"x", b"1"), (b"x-y", b"2")),
        get("/x", (b"x", b"2"), (b"x-y", b"1")),
        id="which field has which value",
    ),
    pytest.param(
        get("/x", (b"cookie", b"c=1; ca=2")),
        get("/x", (b"cookie", b"c=1; ca=3")),
        id="every cookie counts",
    ),
    pytest.param(
        get("/x", (b"cookie", b"c=1; c=2")),
        get("/x", (b"cookie", b"c=2; c=1")),
        id="6265 4.2.2 servers differ in which of two cookies counts",
    ),
    pytest.param(
        get("/x", (b"cookie", b"c=a1")), get("/x", (b"cookie", b"ca=1")), id="a name ends at its ="
    ),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_near_misses_do_not(first: Request, second: Request) -> None:
    assert KIT.asked(first).plan.key != KIT.asked(second).plan.key


@given(st.text(alphabet="hunter2", min_size=5, max_size=9))
def test_no_cookie_and_no_identity_stands_in_a_key_in_clear(secret: str) -> None:
    fields = [(b"cookie", b"c=%s" % secret.encode()), (b"who", secret.encode())]
    asked = KIT.asked(get("/me/x", *fields))
    assert secret.encode() not in asked.plan.key.full


def test_the_secret_that_signs_changes_no_key_and_no_concealed_value() -> None:
    # Guard: `Cache` keys digests with `digest_secret`, so that `secret` can be exchanged.
    def found_by(**secrets: str) -> list[Any]:
        route = {"path": "/{rest:path}", "ttl": "1m", "cookies": ["c"]}
        kit = Kit(route, **secrets)
        asked = kit.asked(get("/x", (b"cookie", b"c=1")))
        names = (b"authorization", b"x")
        fields = get("/x", (b"authorization", b"Basic YTpi"), (b"x", b"1")).headers
        return [asked.plan.key, kit.engine.variants.values(names, fields)]

    key, selecting = plain = found_by()
    assert found_by(secret="the old one of them") == found_by(secret="the new one of them") == plain
    other_key, other_selecting = found_by(digest_secret="of the digests, all")
    assert (other_key.full, other_key.digest) != (key.full, key.digest)
    assert other_selecting != selecting
    assert other_selecting[1] == selecting[1] == (b"x", b"1")


# What a key says ----------------------------------------------------------------------------------


@given(ASKED)
def test_a_key_says_what_was_asked_for_and_what_else_it_holds(asked: Asked) -> None:
    request = asked.request()
    key = KIT.asked(request).plan.key
    keyed = read_key(key.full)
    query = f"?{asked.query.decode()}" if asked.query else ""
    below = request.raw_path.decode()
    assert keyed.url == f"{asked.scheme}://{asked.host.decode()}{asked.mount}{below}{query}"
    assert keyed.method == "GET"
    assert set(keyed.by) == {
        *(name.decode() for name, _ in asked.fields),
        *(["cookie"] if asked.cookies else []),
        *(["identity"] if asked.identity is not None else []),
    }


def test_a_variant_s_key_says_which_fields_select_it() -> None:
    plan = KIT.asked(get("/x", (b"origin", b"https://a"))).plan
    key = KIT.engine.variants.key_of(plan, ((b"accept", b"text/html"), (b"dnt", None)))
    assert read_key(key.full).by == ("origin", "accept", "dnt")


@pytest.mark.parametrize(
    ("raw", "path", "shown"),
    [
        ("/x", "/x", "/a%20b/x"),
        ("/a%20b/x", "/x", "/a%20b/x"),
        ("/%61%20b/x", "/x", "/%61%20b/x"),
        ("/a%20b", "/", "/a%20b"),
        ("/a%20b/", "/", "/a%20b/"),
        ("/a%20b/a%20b/x", "/a b/x", "/a%20b/a%20b/x"),
    ],
)
def test_the_url_of_a_key_has_the_mount_once_as_it_was_spelt(
    raw: str, path: str, shown: str
) -> None:
    kit = Kit({"path": "/{rest:path}", "ttl": "1m"})
    request = replace(get(mount="/a b"), raw_path=raw.encode(), path=path)
    full = kit.asked(request).plan.key.full
    assert read_key(full).url == f"http://shop.example{shown}"


def test_the_whole_path_is_in_the_key() -> None:
    # Guard: `_base_plan` keys `raw_path` with the mount in it (I7): the application sees it.
    kit = Kit({"path": "/x", "ttl": "1m"})
    raws = (b"/x", b"/shop/x", b"/%73hop/x")
    requests = [replace(get("/x", mount="/shop"), raw_path=raw) for raw in raws]
    assert len({kit.asked(request).plan.key for request in requests}) == 3


def test_the_key_of_a_body_says_the_method() -> None:
    kit = Kit({"path": "/p", "ttl": "1m", "methods": ["POST"], "body": "raw"})
    asked = kit.asked(replace(get("/p"), method="POST", content=Content(b"body")))
    keyed = read_key(asked.plan.key.full)
    assert (keyed.method, keyed.url, keyed.by) == ("POST", "http://shop.example/p", ("body",))


@pytest.mark.parametrize("path", ["/a b", "/é", "/?x", "/#", "//x"])
def test_the_url_of_a_key_can_be_purged(path: str) -> None:
    # Guard: `read_key` quotes what has a meaning in a URL.
    asked = KIT.asked(get(path, query=b"q=%ff?&'"))
    tags = purged_tags(KIT.engine, tags=(), urls=[read_key(asked.plan.key.full).url], routes=())
    assert set(tags) <= set(asked.plan.tags)


@given(st.binary(max_size=60) | PARTS.map(encode_parts))
def test_what_is_no_key_of_a_request_is_not_read_as_one(full: bytes) -> None:
    with pytest.raises(ValueError, match="not "):
        read_key(full)


@pytest.mark.parametrize(
    "parts", [[b"x"] * 6, [b"x"] * 8, [b"x"] * 6 + [None], [b"x"] * 7 + [None]], ids=str
)
def test_the_key_of_a_target_has_seven_parts_and_none_is_absent(parts: list[bytes | None]) -> None:
    with pytest.raises(ValueError, match=r"^this is not the key of a request$"):
        read_key(encode_parts(parts))


TARGET = KIT.asked(get("/x")).plan.key.full
DAMAGED_PLANS = [
    pytest.param((None, None, None, None, encode_parts([])), id="a body without a method"),
    pytest.param((None, None, None, None, encode_parts([None])), id="a method that is absent"),
    pytest.param((None, encode_parts([None, b"x"]), None, None, None), id="no header's name"),
    pytest.param((None, b"x"), id="no variant's name"),
    pytest.param((b"\0", None, None, None, None), id="a plan that looks like a variant"),
]


@pytest.mark.parametrize("parts", DAMAGED_PLANS)
def test_a_damaged_key_raises_no_other_error(parts: tuple[bytes | None, ...]) -> None:
    """Whoever lists what Redis holds goes on after a ValueError, and after no other."""
    try:
        keyed = read_key(encode_parts((TARGET, *parts)))
    except ValueError:
        return
    assert keyed.url == "http://shop.example/x"


def test_a_key_within_more_keys_than_there_are_kinds_is_given_up() -> None:
    """Fails without `_DEPTH`: each level is copied once more, for 64 KiB of them."""
    full = TARGET
    for _ in range(2):
        full = encode_parts((full, None, None, None, None, None))
    assert read_key(full).url == "http://shop.example/x"
    full = encode_parts((full, None, None, None, None, None))
    with pytest.raises(ValueError, match="not the key of a request"):
        read_key(full)
