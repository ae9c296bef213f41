"""The envelope: what is written comes back, and nothing else is believed.

`seal` writes the format a second time, from its description alone, so that forged envelopes with a
right checksum can be made and the codec cannot agree with itself on something else.
"""

from __future__ import annotations

import math
import random
import struct
import threading
import time
import tracemalloc
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cachemw.engine.model.entry import Entry, Item, Key, Learned, Position, VaryMarker
from cachemw.engine.model.holes import Hole
from cachemw.errors import EntryRejected
from cachemw.stores.redis.codec import REASONS, VERSION, Codec
from cachemw.stores.redis.metadata import MARKER, MAX_LIFETIME
from tests.support.entries import make_entry
from tests.support.examples import examples

SECRET = b"a secret of the namespace"
KEY = Key(b"0123456789abcdef", b"full key: /products/1?x=%2F")
MAX_BODY = 1 << 20
NOW = 500.0
SERVER_NOW = 1_700_000_000.0
CODEC = Codec([SECRET], threshold=256, level=3, max_body=MAX_BODY)

HEADERS = ((b"content-type", b"text/plain"), (b"x-a", b"1"), (b"x-a", b"2"))
BODY = b"hello"
LONG = b"".join(b"%d bottles, " % n for n in range(200))


def make(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "key": KEY.digest,
        "status": 200,
        "headers": HEADERS,
        "body": BODY,
        "route": "products",
        "born": NOW - 10,
        "fresh_until": NOW + 50,
        "stale_until": NOW + 80,
        "stale_error_until": NOW + 600,
        "position": Position(b"epoch-01", 1_700_000_000_123 << 64 | 7),
        "tags": ("product:1", "catalog"),
        "vary": ((b"accept-language", b"de"), (b"x-absent", None)),
    }
    fields |= changes
    return make_entry(**fields)


def make_marker(**changes: Any) -> VaryMarker:
    fields: dict[str, Any] = {
        "key": KEY.digest,
        "names": (b"accept-language", b"x-absent"),
        "route": "products",
        "born": NOW - 10,
        "fresh_until": NOW + 50,
        "dies_at": NOW + 600,
        "position": Position(b"epoch-01", 1_700_000_000_123 << 64 | 7),
        "tags": ("product:1", "catalog"),
    }
    return VaryMarker(**(fields | changes))


def encode(entry: Item, codec: Codec = CODEC, key: Key = KEY) -> bytes:
    return codec.encode(entry, key, now=NOW, server_now=SERVER_NOW)


def decode(blob: bytes, codec: Codec = CODEC, key: Key = KEY) -> Any:
    return codec.decode(blob, key, now=NOW, server_now=SERVER_NOW)


def facts(entry: Item) -> dict[str, Any]:
    return {
        name: getattr(entry, name)
        for name in entry.__struct_fields__
        if name not in ("checked", "visited", "leaves_at")
    }


def reason(blob: bytes, codec: Codec = CODEC) -> str:
    """Return why `blob` is refused; anything but a refusal fails the test."""
    with pytest.raises(EntryRejected) as caught:
        decode(blob, codec)
    assert caught.value.reason in REASONS
    return caught.value.reason


TIMES = ("fresh_until", "stale_until", "stale_error_until", "dies_at")

META: dict[str, Any] = {
    "status": 200,
    "headers": [[b"content-type", b"text/plain"]],
    "tags": ["catalog"],
    "vary": [[b"accept", None]],
    "route": "products",
    "born": SERVER_NOW - 10,
    "fresh_until": SERVER_NOW + 50,
    "stale_until": SERVER_NOW + 50,
    "stale_error_until": SERVER_NOW + 50,
    "dies_at": SERVER_NOW + 50,
    "holes": [],
    "learned": None,
}


def pack(**changes: Any) -> bytes:
    return msgspec.msgpack.encode(list((META | changes).values()))


def seal(
    meta: bytes | None = None,
    body: bytes = BODY,
    *,
    full: bytes = KEY.full,
    secret: bytes = SECRET,
    **changes: Any,
) -> bytes:
    meta = pack() if meta is None else meta
    fields: dict[str, Any] = {
        "magic": b"CMW",
        "version": VERSION,
        "flags": 0,
        "key_size": len(full),
        "meta_size": len(meta),
        "stored": len(body),
        "raw": len(body),
        "epoch": b"epoch-01",
        "milliseconds": 5,
        "sequence": 6,
    }
    header = struct.pack(">3sBBIIII8sQQ", *(fields | changes).values())
    checksum = blake2b(
        header + full + meta + body,
        digest_size=16,
        key=blake2b(secret).digest(),
        person=b"cachemw envelope",
    )
    return header + checksum.digest() + full + meta + body


def compressed(body: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(body)


# Writing and reading ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"body": b""},
        {"body": LONG},
        {"headers": ()},
        {"holes": (Hole(0, "a"), Hole(2, "b", ("1", "")), Hole(2, ":c"), Hole(5, "a"))},
        {"headers": ((b"x-long", b"v" * 5000),)},
        {"status": 404, "tags": (), "vary": ()},
        {"tags": ("größe:ü", "")},
        {"stale_until": NOW + 50, "stale_error_until": NOW + 50},
        {"dies_at": NOW + 5000},
        {"position": Position(b"\0" * 8, 0)},
        {"position": Position(b"\xff" * 8, (1 << 128) - 1)},
    ],
    ids=str,
)
def test_what_is_written_comes_back(changes: dict[str, Any]) -> None:
    entry = make(**changes)
    assert facts(decode(encode(entry))) == facts(entry)


@pytest.mark.parametrize("changes", [{}, {"names": (b"accept",)}, {"tags": ()}], ids=str)
def test_a_marker_that_is_written_comes_back(changes: dict[str, Any]) -> None:
    marker = make_marker(**changes)
    assert facts(decode(encode(marker))) == facts(marker)


names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_!#$%&'*+.^`|~", min_size=1).map(str.encode)
names = names.filter(lambda name: name not in (b"te", b"age"))
CONTROL = bytes({*range(0x20), 0x7F} - {0x09})
values = st.binary(max_size=60).map(lambda value: value.translate(None, CONTROL))
# Whole seconds, which a float holds exactly on both clocks.
seconds = st.integers(0, 366 * 86_400)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    born = NOW - draw(st.integers(0, 1_000_000))
    fresh_until = max(NOW + 1, born) + draw(st.integers(0, 300 * 86_400))
    return make(
        status=draw(st.sampled_from([200, 203, 301, 404, 599])),
        headers=tuple(draw(st.lists(st.tuples(names, values), max_size=8))),
        body=draw(st.one_of(st.binary(max_size=600), st.binary(max_size=8).map(lambda b: b * 99))),
        route=draw(st.text(max_size=20)),
        born=born,
        fresh_until=fresh_until,
        stale_until=fresh_until + draw(seconds),
        stale_error_until=fresh_until + draw(seconds),
        dies_at=fresh_until + 366 * 86_400,
        position=Position(
            draw(st.binary(min_size=8, max_size=8)), draw(st.integers(0, 2**128 - 1))
        ),
        tags=tuple(draw(st.lists(st.text(max_size=20), max_size=4))),
        vary=tuple(draw(st.lists(st.tuples(names, st.none() | st.binary(max_size=9)), max_size=3))),
    )


@given(entries())
def test_any_entry_comes_back(entry: Entry) -> None:
    assert facts(decode(encode(entry))) == facts(entry)


def test_times_move_to_the_readers_clock() -> None:
    blob = encode(make())
    # Another process, 3 seconds later, whose monotonic clock began elsewhere.
    entry = CODEC.decode(blob, KEY, now=90_000.0, server_now=SERVER_NOW + 3)
    assert entry.born == 90_000.0 - 13
    assert entry.fresh_until == 90_000.0 + 47
    assert entry.stale_until == 90_000.0 + 77
    assert entry.stale_error_until == 90_000.0 + 597


def test_lifetimes_over_a_year_are_written_as_a_year() -> None:
    ever = {"fresh_until": math.inf, "stale_until": math.inf, "stale_error_until": NOW + 1e12}
    entry = decode(encode(make(**ever)))
    assert entry.fresh_until == entry.born + MAX_LIFETIME
    assert entry.stale_until == entry.stale_error_until == entry.fresh_until + MAX_LIFETIME


def test_equal_fields_of_two_entries_are_one_object() -> None:
    blobs = [encode(make()) for _ in range(3)]
    _, second, third = (decode(blob) for blob in blobs)
    assert second.headers[0] is third.headers[0]
    assert second.position is third.position
    assert second.route is third.route


STORED = {
    "long and repetitive: compressed": (make(body=LONG), True),
    "below the threshold": (make(body=b"a" * 255), False),
    "at the threshold": (make(body=b"a" * 256), True),
    "not worth it": (make(body=random.Random(1).randbytes(5000)), False),
    "compressed already": (make(body=LONG, headers=((b"content-encoding", b"br"),)), False),
}


@pytest.mark.parametrize(("entry", "is_compressed"), STORED.values(), ids=STORED)
def test_compression_only_where_it_pays(entry: Entry, is_compressed: bool) -> None:
    blob = encode(entry)
    assert blob[4] == is_compressed
    assert (len(blob) < len(entry.body)) is is_compressed or len(entry.body) < 300
    assert decode(blob).body == entry.body


def test_a_secret_of_any_length_will_do() -> None:
    for secret in (b"", b"s", b"s" * 1000):
        codec = Codec([secret], threshold=1, level=1, max_body=MAX_BODY)
        assert decode(encode(make(), codec), codec).body == BODY


def test_the_first_secret_signs_and_all_are_accepted() -> None:
    # Guard: `Codec._is_signed` tries the others too.
    def holding(*secrets: bytes) -> Codec:
        return Codec(secrets, threshold=256, level=3, max_body=MAX_BODY)

    old, rotating, new = holding(b"old"), holding(b"new", b"older", b"old"), holding(b"new")
    assert decode(encode(make(), old), rotating).body == BODY
    assert decode(encode(make(), rotating), new).body == BODY
    assert encode(make(), rotating) == encode(make(), new)
    assert reason(encode(make(), old), new) == reason(encode(make(), new), old) == "checksum"
    assert reason(seal(secret=b"newold"), rotating) == "checksum"


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (make(body=bytes(MAX_BODY + 1)), KEY),
        (make(), Key(KEY.digest, b"k" * 70_000)),
        (make(tags=("t" * 300_000,)), KEY),
    ],
    ids=["body", "key", "metadata"],
)
def test_what_could_not_be_read_is_not_written(entry: Entry, key: Key) -> None:
    with pytest.raises(EntryRejected, match="size"):
        encode(entry, key=key)


@pytest.mark.parametrize(
    "header",
    [(b"set-cookie", b"a=1"), (b"transfer-encoding", b"chunked"), (b"a", b"1\x1b"), (b"A", b"1")],
    ids=str,
)
def test_headers_that_would_be_refused_are_not_written(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(EntryRejected, match="header"):
        encode(make(headers=(header,)))


def test_threads_share_a_codec() -> None:
    bodies = [b"%d " % n * (500 + n) for n in range(8)]
    right: list[bool] = []

    def work(body: bytes) -> None:
        entry = make(body=body)
        right.extend(decode(encode(entry)).body == body for _ in range(300))

    threads = [threading.Thread(target=work, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 8 * 300


def test_who_does_not_know_the_key_is_told_it() -> None:
    def identify(full: bytes) -> Key:
        return Key(full[:3], full)

    key, entry = CODEC.open(encode(make()), identify, now=NOW, server_now=SERVER_NOW)
    assert key == Key(b"ful", KEY.full)
    assert facts(entry) == facts(make(key=b"ful"))


# Distrust -----------------------------------------------------------------------------------------

DAY = 86_400.0
BORN = META["born"]

REFUSED: dict[str, tuple[str, bytes]] = {
    "nothing": ("short", b""),
    "a header only": ("short", seal()[:45]),
    "another format": ("magic", seal(magic=b"CMX")),
    "a planted pickle": ("magic", b"\x80\x04\x95" + bytes(100)),
    "an older version": ("version", seal(version=VERSION - 1)),
    "a newer version": ("version", seal(version=VERSION + 1)),
    "a flag of a later release": ("version", seal(flags=2)),
    "a body over the cap": ("size", seal(raw=MAX_BODY + 1)),
    "a key over the cap": ("size", seal(key_size=1 << 20)),
    "metadata over the cap": ("size", seal(meta_size=1 << 20)),
    "a byte too many": ("length", seal() + b"\0"),
    "a byte too few": ("length", seal()[:-1]),
    "lengths that lie about the body": ("length", seal(stored=6, raw=6)),
    "a raw length that differs": ("length", seal(raw=4)),
    "compression that saved nothing": ("length", seal(flags=1)),
    "another namespace, which is in the key": (
        "key",
        seal(full=b"another key: /products/1?x=%2F"),
    ),
    "another application's secret": ("checksum", seal(secret=b"another")),
    "another key's entry": ("key", seal(full=b"full key: /products/2")),
    "an empty key": ("key", seal(full=b"")),
    "metadata that is no msgpack": ("meta", seal(b"\xc1")),
    "no metadata": ("meta", seal(b"")),
    "metadata with more after it": ("meta", seal(pack() + b"\0")),
    "metadata with a field more": ("meta", seal(pack(extra=1))),
    "a map": ("meta", seal(msgspec.msgpack.encode(META))),
    "a nest of arrays": ("meta", seal(b"\x91" * 100_000)),
    "an array that claims 4 billion": ("meta", seal(b"\xdd\xff\xff\xff\xff")),
    "a status that is text": ("meta", seal(pack(status="200"))),
    "a status of true": ("meta", seal(pack(status=True))),
    "a header of three": ("meta", seal(pack(headers=[[b"a", b"b", b"c"]]))),
    "a header of text": ("meta", seal(pack(headers=[["a", "b"]]))),
    "a tag that is no UTF-8": ("meta", seal(pack(tags=["#"]).replace(b"\xa1#", b"\xa1\xff"))),
    "status 99": ("status", seal(pack(status=99))),
    "status 100, which is no answer yet": ("status", seal(pack(status=100))),
    "status 199": ("status", seal(pack(status=199))),
    "a status of 64 bits": ("status", seal(pack(status=(1 << 64) - 1))),
    "status 600": ("status", seal(pack(status=600))),
    "status -1": ("status", seal(pack(status=-1))),
    "a part, which is never stored": ("status", seal(pack(status=206))),
    "a 304, which is never stored": ("status", seal(pack(status=304))),
    "a 204 with a body": ("status", seal(pack(status=204))),
    "a 205 with a body": ("status", seal(pack(status=205))),
    "a marker with a body": ("status", seal(pack(status=MARKER))),
    "born NaN": ("time", seal(pack(born=math.nan))),
    "fresh for ever": ("time", seal(pack(fresh_until=math.inf))),
    "stale for ever": ("time", seal(pack(stale_until=math.inf))),
    "stale on errors for ever": ("time", seal(pack(stale_error_until=math.inf))),
    "infinities that cancel": ("time", seal(pack(born=-math.inf, fresh_until=math.inf))),
    "born in the future": ("time", seal(pack(born=SERVER_NOW + 5.5))),
    "over before it began": ("time", seal(pack(fresh_until=BORN - 1))),
    "fresh for over a year": ("time", seal(pack(fresh_until=BORN + 367 * DAY))),
    "of use for ever": ("time", seal(pack(dies_at=math.inf))),
    "a hole behind its body": ("body", seal(pack(holes=[[6, "a", []]]))),
    "a hole before its body": ("body", seal(pack(holes=[[-1, "a", []]]))),
    "holes in another order": ("body", seal(pack(holes=[[2, "a", []], [1, "a", []]]))),
    "a marker with holes": ("body", seal(pack(status=MARKER, holes=[[0, "a", []]]), b"")),
    "a hole of other parts": ("meta", seal(pack(holes=[[0, "a", [], 1]]))),
    "over before its windows": ("time", seal(pack(dies_at=SERVER_NOW + 49))),
    "stale for over a year": ("time", seal(pack(stale_until=SERVER_NOW + 50 + 367 * DAY))),
    "past all its windows": (
        "expired",
        seal(pack(**dict.fromkeys(TIMES, BORN + 1))),
    ),
    "a carriage return": ("header", seal(pack(headers=[[b"a", b"b\r"]]))),
    "a line feed": ("header", seal(pack(headers=[[b"x", b""], [b"a", b"b\nset-cookie: c"]]))),
    "a NUL": ("header", seal(pack(headers=[[b"a", b"\0"]]))),
    **{
        f"the control character {code:#x}": ("header", seal(pack(headers=[[b"a", bytes([code])]])))
        for code in CONTROL
    },
    **{
        f"{name.decode()}, which no response may carry on": (
            "header",
            seal(pack(headers=[[b"x", b"1"], [name, b"5"]])),
        )
        for name in (
            *(b"transfer-encoding", b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"),
            *(b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization"),
            *(b"proxy-connection", b"set-cookie", b"set-cookie2", b"age"),
        )
    },
    "a name in capitals": ("header", seal(pack(headers=[[b"Content-Type", b"b"]]))),
    "a name with a colon": ("header", seal(pack(headers=[[b"a:", b"b"]]))),
    "a name with a line feed": ("header", seal(pack(headers=[[b"a\n", b"b"]]))),
    "a name with a high byte": ("header", seal(pack(headers=[[b"\xe4", b"b"]]))),
    "a length of another body": ("header", seal(pack(headers=[[b"content-length", b"6"]]))),
    "two lengths": (
        "header",
        seal(pack(headers=[[b"content-length", b"5"], [b"content-length", b"6"]])),
    ),
    "the right length twice": (
        "header",
        seal(pack(headers=[[b"content-length", b"5"], [b"content-length", b"5"]])),
    ),
    "the right length in a list": ("header", seal(pack(headers=[[b"content-length", b"5, 5"]]))),
    "a length that is none": ("header", seal(pack(headers=[[b"content-length", b"+5"]]))),
    "forty thousand names": (
        "size",
        seal(pack(headers=[[b"a", b""]] * 40_000)),
    ),
    "as many names as go in, and one too many": (
        "header",
        seal(pack(headers=[[b"a", b""]] * 21_000 + [[b"", b""]])),
    ),
    "no name": ("header", seal(pack(headers=[[b"a", b"b"], [b"", b"b"]]))),
    "no zstd": ("body", seal(body=b"hello", flags=1, raw=6)),
    "a frame of another length": ("body", seal(body=compressed(LONG), flags=1, raw=len(LONG) + 1)),
    "a frame that hides its length": (
        "body",
        seal(body=compressed(LONG, write_content_size=False), flags=1, raw=len(LONG)),
    ),
    "a frame cut short": ("body", seal(body=compressed(LONG)[:-3], flags=1, raw=len(LONG))),
    "a frame and more": ("body", seal(body=compressed(LONG) + b"\0", flags=1, raw=len(LONG))),
    "a bomb": ("body", seal(body=compressed(bytes(1 << 27)), flags=1, raw=MAX_BODY)),
}


@pytest.mark.parametrize(("expected", "blob"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_reason(expected: str, blob: bytes) -> None:
    assert reason(blob) == expected


UNASKED = {name: case for name, case in REFUSED.items() if case[0] != "key"}


@pytest.mark.parametrize(("expected", "blob"), UNASKED.values(), ids=UNASKED)
def test_who_does_not_know_the_key_is_refused_the_same(expected: str, blob: bytes) -> None:
    """Fails when a key is read before lengths and checksum are found right."""

    def identify(full: bytes) -> Key:
        assert expected not in ("short", "magic", "version", "size", "length", "checksum")
        return Key(b"", full)

    with pytest.raises(EntryRejected) as caught:
        CODEC.open(blob, identify, now=NOW, server_now=SERVER_NOW)
    assert caught.value.reason == expected


def test_the_forger_can_write_what_is_accepted() -> None:
    assert decode(seal()).body == BODY
    assert decode(seal(body=compressed(LONG), flags=1, raw=len(LONG))).body == LONG
    assert decode(seal(pack(status=MARKER), b"")).names == (b"accept",)
    assert decode(seal(pack(status=200, headers=[[b"content-length", b"5"]]))).body == BODY
    assert decode(seal(pack(status=204), b"")).status == 204
    assert decode(seal(pack(headers=[[b"a", b"b\tc \xe9"]]))).headers == ((b"a", b"b\tc \xe9"),)
    assert decode(seal(pack(headers=[[b"proxy-status", b"up"]]))).status == 200
    assert decode(seal(pack(born=SERVER_NOW + 4.5))).born == NOW + 4.5
    year = BORN + MAX_LIFETIME
    late = year + MAX_LIFETIME
    assert decode(seal(pack(fresh_until=year, stale_until=late, dies_at=late))).body == BODY


def test_every_reason_is_reached_by_the_table() -> None:
    assert {expected for expected, _ in REFUSED.values()} == REASONS


@pytest.mark.parametrize("body", [BODY, LONG], ids=["plain", "compressed"])
def test_cut_anywhere_it_is_refused(body: bytes) -> None:
    blob = encode(make(body=body))
    found = {reason(blob[:size]) for size in range(len(blob))}
    assert found == {"short", "length"}


@pytest.mark.parametrize("body", [BODY, LONG], ids=["plain", "compressed"])
def test_with_any_bit_flipped_it_is_refused(body: bytes) -> None:
    blob = encode(make(body=body))
    found = set()
    for bit in range(len(blob) * 8):
        broken = bytearray(blob)
        broken[bit // 8] ^= 1 << bit % 8
        found.add(reason(bytes(broken)))
    assert found == {"magic", "version", "size", "length", "checksum"}


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(noise: bytes) -> None:
    reason(noise)


@given(st.binary(max_size=200))
def test_random_bytes_behind_a_right_header_are_refused(noise: bytes) -> None:
    reason(seal()[:5] + noise)


@given(st.binary(max_size=200))
def test_random_metadata_rightly_signed_is_refused(noise: bytes) -> None:
    assert reason(seal(noise)) == "meta"


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(META)), junk, min_size=1, max_size=4))
def test_wrong_values_rightly_signed_are_an_entry_or_refused(changes: dict[str, Any]) -> None:
    try:
        entry = decode(seal(pack(**changes)))
    except EntryRejected as error:
        assert error.reason in REASONS  # noqa: PT017 - either outcome is right, others are not
    else:
        assert 200 <= entry.status <= 599
        assert entry.born <= entry.fresh_until < math.inf


@given(st.binary(max_size=100), st.integers(1, MAX_BODY))
@settings(max_examples=examples(200))
def test_random_frames_rightly_signed_are_refused(noise: bytes, raw: int) -> None:
    assert reason(seal(body=noise, flags=1, raw=raw)) in {"body", "length"}


HUGE = {
    "zeros": ("magic", bytes(100_000_000)),
    "an entry and 100 MB": ("length", seal() + bytes(100_000_000)),
    "an honest 100 MB": ("size", seal(raw=100_000_000, stored=100_000_000)),
    **REFUSED,
}


@pytest.mark.parametrize(("expected", "blob"), HUGE.values(), ids=HUGE)
def test_whatever_is_refused_is_refused_in_under_ten_milliseconds(
    expected: str, blob: bytes
) -> None:
    times = []
    for _ in range(5):
        begun = time.thread_time()  # others that use the processor meanwhile do not count
        assert reason(blob) == expected
        times.append(time.thread_time() - begun)
    assert min(times) < 0.010


@pytest.mark.parametrize(("expected", "blob"), HUGE.values(), ids=HUGE)
def test_refusing_takes_no_memory_to_speak_of(expected: str, blob: bytes) -> None:
    # Guards: the lengths are looked at before anything is copied, and the frame's own claim before
    # it is undone. What is left is metadata: 128 KiB of the smallest pairs that there can be.
    tracemalloc.start()
    try:
        assert reason(blob) == expected
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 << 20


# The format, for ever -----------------------------------------------------------------------------

SNAPSHOT = Path(__file__).with_name(f"envelopes_v{VERSION}.txt")
LEARNED = Learned(
    content=b"12345678",
    seen_at=NOW - 0.125,
    position=Position(bytes(range(8)), (1 << 128) - 2),
    fresh_until=NOW + 1.5,
    lifetime=1.75,
    free=True,
    refreshes=3,
    changes=2.5,
    seconds=600.0,
    asked=4.5,
    waited=12.25,
)
WRITTEN = {
    "plain": make(),
    "compressed": make(body=LONG),
    "marker": make_marker(),
    "bare": make(headers=(), tags=(), vary=(), body=b"", position=Position(b"\0" * 8, 0)),
    "everything": make(
        status=404,
        headers=((b"x-empty", b""), (b"x-latin", b"caf\xe9"), (b"content-length", b"256")),
        body=bytes(range(256)),
        route="größe",
        born=NOW - 0.25,
        fresh_until=NOW + 1.5,
        stale_until=NOW + 2.25,
        stale_error_until=NOW + 3.125,
        dies_at=NOW + 4.0625,
        position=Position(bytes(range(8)), (1 << 128) - 2),
        tags=("größe:ü", ""),
        vary=((b"accept", b""), (b"cookie", b"\xff" * 32), (b"x-absent", None)),
        learned=LEARNED,
    ),
    "with holes": make(holes=(Hole(0, "a"), Hole(5, "größe", ("1", "ü")))),
}
CHANGED = f"""
The bytes of version {VERSION} have changed. Releases side by side would misread each other, and nothing
stored so far could be read. If the format is to change: raise VERSION in cachemw/stores/redis/codec.py
(names in Redis follow it), describe the new one there, and write {SNAPSHOT.name} for the new number
from `encode(WRITTEN[name]).hex()`. If it is not: undo what changed it.
"""


def snapshots() -> dict[str, bytes]:
    """Read the file, which holds a name and the hexadecimal of `encode(WRITTEN[name])` a line."""
    assert SNAPSHOT.exists(), CHANGED
    lines = SNAPSHOT.read_text().splitlines()
    return {name: bytes.fromhex(blob) for name, blob in (line.rsplit(" ", 1) for line in lines)}


def test_every_field_of_the_metadata_tells_itself_apart_in_a_snapshot() -> None:
    entry = WRITTEN["everything"]
    assert len({entry.born, *(getattr(entry, name) for name in TIMES)}) == 5
    defaults = {each.name: each.default for each in msgspec.structs.fields(Entry)}
    same = [name for name, value in facts(entry).items() if value == defaults[name]]
    assert same == []
    assert WRITTEN.keys() == snapshots().keys()


@pytest.mark.parametrize("name", WRITTEN)
def test_an_envelope_of_this_version_is_read_as_it_always_was(name: str) -> None:
    assert facts(decode(snapshots()[name])) == facts(WRITTEN[name]), CHANGED


# Not the compressed one: another release of zstd may choose other bytes for the same body.
@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "compressed"])
def test_an_envelope_of_this_version_is_written_as_it_always_was(name: str) -> None:
    assert encode(WRITTEN[name]) == snapshots()[name], CHANGED


def test_the_same_entry_gives_the_same_bytes() -> None:
    for entry in WRITTEN.values():
        assert encode(entry) == encode(entry)


@pytest.mark.parametrize(
    "changes",
    [
        {"lifetime": math.nan},
        {"lifetime": -1.0},
        {"seen_at": math.inf},
        {"changes": 0.0},
        {"changes": math.inf},
        {"seconds": -5.0},
        {"seconds": 1e12},
        {"asked": math.nan},
        {"waited": 0.0},
        {"refreshes": -1},
    ],
    ids=str,
)
def test_knowledge_that_cannot_be_true_is_left_out_and_the_response_is_kept(
    changes: dict[str, Any],
) -> None:
    """A secret may be known to others, and a division by it would cost a request its answer."""
    position = Position(b"epoch-01", 7)
    sound = msgspec.structs.replace(LEARNED, position=position, fresh_until=NOW + 50)
    assert decode(encode(make(learned=sound, position=position))).learned == sound
    forged = msgspec.structs.replace(sound, **changes)
    found = decode(encode(make(learned=forged, position=position)))
    assert (found.learned, found.body) == (None, BODY)
