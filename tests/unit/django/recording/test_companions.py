"""A companion belongs to one value, and says what that was made from."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpResponse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from cachemw import Cache
from cachemw.django.recording import companions
from cachemw.django.recording.companions import (
    LOCAL,
    UNKNOWN,
    Companion,
    as_read_now,
    companions_of,
    digest,
    made_from,
    name_of,
    place_of,
)
from cachemw.engine.model.holes import Piece
from cachemw.recording.context import MadeEarlier, Position, Recording

CONFIG = {"routes": [{"path": "/a", "ttl": "1m"}]}
EPOCH = b"12345678"


@pytest.fixture
def cache() -> Cache:
    return Cache.from_dict(CONFIG)


def companion_of(cache: Cache, recording: Recording, value: object) -> Companion:
    companion = companions_of(cache, recording, {"k": value})["k"]
    assert companion is not None
    return companion


def recording_at(number: int, epoch: bytes = EPOCH, tags: tuple[str, ...] = ("a",)) -> Recording:
    recording = Recording(began=Position(epoch, number))
    recording.add(tags)
    return recording


def test_a_companion_says_what_a_value_was_made_from(cache: Cache) -> None:
    made = companion_of(cache, recording_at(5), "value")
    for found in (made, made.text(), made.text().encode()):
        assert made_from(cache, recording_at(9), found, "value") == MadeEarlier(
            ("a",), Position(EPOCH, 5)
        )
        assert made_from(cache, recording_at(9), found, "another") is UNKNOWN
        assert made_from(cache, recording_at(9, b"87654321"), found, "value") == MadeEarlier(("a",))
        assert made_from(cache, Recording(), found, "value") == MadeEarlier(("a",))
    large = companion_of(cache, recording_at(1700000000000 << 64 | 5), "value").text()
    found = made_from(cache, recording_at(9), large, "value")
    assert found.position == Position(EPOCH, 1700000000000 << 64 | 5)


def test_what_nobody_knows_enough_of_is_unknown(cache: Cache) -> None:
    of_nothing, many = Recording(), recording_at(5, tags=tuple(f"t:{n}" for n in range(1001)))
    unknown = recording_at(5)
    unknown.add_value(MadeEarlier(("b",)))
    for recording in (of_nothing, many, unknown):
        companion = companion_of(cache, recording, 1)
        assert made_from(cache, recording_at(9), companion, 1) == MadeEarlier()


def test_many_values_with_many_tags_are_unknown(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companions, "_MAX_TAGS_AT_ONCE", 10)
    for count, known in ((5, True), (6, False)):
        values = dict(enumerate("abcdef"[:count]))
        made = companions_of(cache, recording_at(5, tags=("a", "b")), values)
        assert [bool(each and each.life) for each in made.values()] == [known] * count
        assert len({each and each.digest for each in made.values()}) == count


def test_a_position_without_a_log_means_nothing_in_another_process(cache: Cache) -> None:
    made = companion_of(cache, recording_at(5, bytes(8)), "value")
    assert made_from(cache, recording_at(9, bytes(8)), made, "value").position is not None
    other = Cache.from_dict(CONFIG)
    assert made_from(other, recording_at(9, bytes(8)), made, "value") == MadeEarlier(("a",))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        unknown = made_from(cache, recording_at(9, bytes(8)), made, "value").position is None
        os.write(write, b"unknown" if unknown else b"known")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"unknown"
    os.close(read)
    os.close(write)


def test_a_value_is_overtaken_by_a_purge_of_what_it_was_made_from(cache: Cache) -> None:
    position = cache._core.engine.floors.current_position()
    made, other = MadeEarlier(("a",), position), MadeEarlier(("b:1",), position)
    assert as_read_now(cache, made) == made
    cache.purge(tags=["a"])
    now = cache._core.engine.floors.current_position()
    assert now != position
    assert as_read_now(cache, made) is None
    assert as_read_now(cache, other) == MadeEarlier(("b:1",), now)
    cache.purge(tags=["b:*"])
    assert as_read_now(cache, other) is None
    assert as_read_now(cache, MadeEarlier(("c",))) is None


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("value", ["<i>TOKEN</i>", b"TOKEN", {"form": ["<i>TOKEN</i>"]}])
def test_a_value_with_a_piece_for_one_client_is_for_no_stored_response(
    cache: Cache, kept: bool, value: Any
) -> None:
    setting, reading = recording_at(5), recording_at(9)
    if kept:
        setting.open_holes(in_shadow=False)
    setting.add_piece(Piece(text=b"TOKEN", name=":token"))
    made_from(cache, reading, companion_of(cache, setting, "without").text(), "without")
    assert not reading.has_lost_piece
    made_from(cache, reading, companion_of(cache, setting, value).text(), value)
    assert reading.has_lost_piece


def test_a_value_with_a_placeholder_has_no_companion(cache: Cache) -> None:
    setting = recording_at(5)
    setting.open_holes(in_shadow=False)
    setting.add_piece(Piece(text=b"HOLE", name="basket", placeholder=True))
    made = companions_of(cache, setting, {"a": "<i>HOLE</i>", "b": "another"})
    assert [each is None for each in made.values()] == [True, False]


# -- digests -----------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec=None)),
    st.binary(),
    st.datetimes(),
    st.decimals(allow_nan=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda each: st.one_of(
        st.lists(each),
        st.tuples(each, each),
        st.dictionaries(st.one_of(st.text(), st.integers()), each),
        st.lists(each).map(lambda made: [made, made]),
    ),
    max_leaves=8,
)


def through_a_cache(value: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


@pytest.mark.parametrize("protocol", [4, 5])
@given(value=VALUES)
def test_a_value_has_the_same_digest_when_it_comes_back(protocol: int, value: Any) -> None:
    made = digest(value, stored=False)
    once = through_a_cache(value, protocol)
    assert digest(once, stored=True) == made
    assert digest(through_a_cache(once, protocol), stored=True) == made
    assert digest(once, stored=False) == made


OBJECTS: dict[str, Any] = {
    "response": lambda: HttpResponse(b"body", headers={"X-A": "1", "Vary": "Cookie"}),
    "safe": lambda: mark_safe("<b>"),
    "lazy": lambda: [gettext_lazy("yes"), OrderedDict(a=1)],
    "several": lambda: {"at": datetime.now(UTC), "price": Decimal("1.50"), "set": {1, 2, 3}},
    "shared": lambda: [["one" * 2, "one" * 2]] * 2,
}


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_an_object_has_the_same_digest_when_it_comes_back(project: None, make: Any) -> None:
    value = make()
    assert digest(through_a_cache(value, 5), stored=True) == digest(value, stored=False)


def test_a_digest_does_not_depend_on_which_equal_parts_are_one_object() -> None:
    # Python makes one object of equal names of attributes, and of others when it likes.
    name = "".join(["a name"])
    assert digest({"x": name, "y": name}, stored=True) == digest(
        {"x": name, "y": "".join(["a na", "me"])}, stored=True
    )


def doubled() -> list[Any]:
    value: list[Any] = ["x" * 100]
    for _ in range(20):
        value = [value, value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("make", [doubled, circle])
def test_what_cannot_be_spelt_out_has_a_digest_too(make: Any) -> None:
    value = make()
    again = pickle.loads(pickle.dumps(value))
    assert digest(value, stored=False) == digest(again, stored=True)


def test_different_values_have_different_digests() -> None:
    values = [None, 0, 1, "", "0", "1", "None", b"", b"0", b"1", 0.5, "0.5", [], (), {}, [1], (1,)]
    assert len({digest(value, stored=True) for value in values}) == len(values)


def test_a_digest_is_the_same_in_another_process() -> None:
    code = (
        "from cachemw.django.recording.companions import digest\n"
        "print(digest({'a': ['x', 5, (b'y', None)], 'b': 'x'}, stored=True))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    own = digest({"a": ["x", 5, (b"y", None)], "b": "x"}, stored=False)
    assert done.stdout.strip() == own


# -- places ------------------------------------------------------------------------------------------


def test_each_key_and_version_has_a_companion_of_its_own() -> None:
    one, other = LocMemCache("one", {}), LocMemCache("other", {"KEY_PREFIX": "p", "VERSION": 2})
    made = [(one, "k", None), (one, "k", 2), (one, "l", None), (other, "k", None), (other, "k", 1)]
    assert len({place_of(*each) for each in made}) == 5
    assert len({name_of(*each) for each in made}) == 5
    assert place_of(one, "k", None) == place_of(LocMemCache("one", {}), "k", 1)
    assert name_of(one, "k" * 240, None).isascii()
    assert len(name_of(one, "k" * 240, None)) < 50


def test_companions_in_this_process_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "_MAX_LOCAL_TAGS", 50)
    held = companions._LocalCompanions()
    large = Companion("x", tags=tuple("abcdefghij"))
    for number in range(10):
        held.put((1, str(number)), large)
        held.put((1, str(number)), large)
    assert [number for number in range(10) if held.get((1, str(number)))] == [7, 8, 9]
    held.put((1, "9"), Companion("y"))
    for number in range(20, 24):
        held.put((1, str(number)), Companion("y"))
    assert held.get((1, "9")) == Companion("y"), "the smaller one in its place took less room"


def test_a_child_process_does_not_wait_for_a_lock_of_its_parent() -> None:
    with LOCAL._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(5)  # ends a child that waits
            LOCAL.put((0, "k"), Companion("x"))
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
