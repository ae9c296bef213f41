"""What a client asks of a cache (RFC 9111 §5.2.1)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_control import MAX_SECONDS
from cachemw.http.fields import Fields, Pair
from cachemw.http.request_control import (
    RequestControl,
    accepts_stale,
    parse,
    wants_validation,
)

NO_CACHE = RequestControl(no_cache=True)


def row(name: str, *lines: bytes, **expected: Any) -> Any:
    return pytest.param(lines, RequestControl(**expected), id=name)


READ = [
    row("9111 5.2.1 no field"),
    row("9111 5.2.1 an empty field", b""),
    row("9111 5.2.1.4 no-cache", b"no-cache", no_cache=True),
    row("9111 5.2.1.5 no-store", b"no-store", no_store=True),
    row("9111 5.2.1.7 only-if-cached", b"only-if-cached", only_if_cached=True),
    row("9111 5.2.1.1 max-age", b"max-age=60", max_age=60),
    row("9111 5.2.1.3 min-fresh", b"min-fresh=60", min_fresh=60),
    row("9111 5.2.1.2 max-stale", b"max-stale=60", max_stale=60),
    row("9111 5.2.1.2 max-stale without a value", b"max-stale", max_stale=math.inf),
    row("9111 5.2.1.2 an empty value is one", b"max-stale=", max_stale=0),
    row("9111 5.2.1.2 no number grants nothing", b"max-stale=any", max_stale=0),
    row("9111 5.2.1.2 the smaller, any and some", b"max-stale, max-stale=5", max_stale=5),
    row("9111 5.2.1.2 the smaller, some and any", b"max-stale=5", b"max-stale", max_stale=5),
    row("9111 5.2.1.1 no number is zero", b"max-age=x", max_age=0),
    row("9111 5.2.1.1 the smaller", b"max-age=60, max-age=5", max_age=5),
    row("9111 5.2.1.3 the larger", b"min-fresh=5", b"min-fresh=60", min_fresh=60),
    row("9111 1.2.2 too large", b"max-age=99999999999", max_age=MAX_SECONDS),
    row("9111 5.2 in any case, quoted", b'MAX-Age="5" , No-Cache', max_age=5, no_cache=True),
    row("9111 5.2 in another's string it is none", b'x="no-cache, max-age=1"'),
    row("9111 5.2 unknown directives do nothing", b"nothing-to-see-here, s-maxage=1, private"),
    row("longer than is remembered", b"x" * 1000 + b", no-cache", no_cache=True),
]


@pytest.mark.parametrize(("lines", "expected"), READ)
def test_every_line_is_read(lines: tuple[bytes, ...], expected: RequestControl) -> None:
    assert parse(Fields([(b"cache-control", line) for line in lines])) == expected


PRAGMA = [
    pytest.param([(b"pragma", b"no-cache")], True, id="9111 5.4 no-cache"),
    pytest.param([(b"pragma", b"foo, No-Cache")], True, id="9111 5.4 in a list, in any case"),
    pytest.param([(b"pragma", b"foo"), (b"pragma", b"no-cache")], True, id="9111 5.4 on a line"),
    pytest.param([(b"pragma", b"foo")], False, id="9111 5.4 nothing else"),
    pytest.param([(b"pragma", b'x="no-cache"')], False, id="9111 5.4 not in a string"),
    pytest.param(
        [(b"pragma", b"no-cache"), (b"cache-control", b"max-age=9")],
        False,
        id="9111 5.4 Cache-Control alone decides",
    ),
    pytest.param(
        [(b"pragma", b"no-cache"), (b"cache-control", b"")], False, id="9111 5.4 an empty one too"
    ),
]


@pytest.mark.parametrize(("pairs", "no_cache"), PRAGMA)
def test_pragma(pairs: list[Pair], no_cache: bool) -> None:
    assert parse(Fields(pairs)).no_cache is no_cache


VALIDATED = [
    pytest.param({}, 10, 60, False, False, id="9111 4.2 fresh and nothing asked"),
    pytest.param({"no_cache": True}, 10, 60, False, True, id="9111 5.2.1.4 no-cache"),
    pytest.param({"no_cache": True}, 10, 60, True, True, id="8246 2 no-cache on what is immutable"),
    pytest.param({"max_age": 10}, 10, 60, False, False, id="9111 5.2.1.1 just young enough"),
    pytest.param({"max_age": 9}, 10, 60, False, True, id="9111 5.2.1.1 too old"),
    pytest.param({"max_age": 0}, 0, 60, False, True, id="9111 5.2.1.1 a reload at once"),
    pytest.param({"max_age": 0}, 10, 60, True, False, id="8246 2 a reload of what is immutable"),
    pytest.param({"max_age": 9}, 10, 60, True, False, id="8246 2 fresh and immutable"),
    pytest.param({"max_age": 0}, 60, 60, True, True, id="8246 2 stale and immutable"),
    pytest.param({"min_fresh": 50}, 10, 60, False, False, id="9111 5.2.1.3 just fresh enough"),
    pytest.param({"min_fresh": 51}, 10, 60, False, True, id="9111 5.2.1.3 not for so long"),
    pytest.param({"min_fresh": 51}, 10, 60, True, True, id="8246 2 immutable grants no time"),
    pytest.param({"max_stale": math.inf}, 10, 60, False, False, id="9111 5.2.1.2 says nothing"),
]


@pytest.mark.parametrize(("asks", "age", "lifetime", "immutable", "wanted"), VALIDATED)
def test_what_wants_validation(
    asks: dict[str, Any], age: float, lifetime: float, immutable: bool, wanted: bool
) -> None:
    control = RequestControl(**asks)
    assert wants_validation(control, age=age, lifetime=lifetime, immutable=immutable) is wanted


STALE = [
    pytest.param({}, 5, False, False, id="9111 5.2.1.2 not asked for"),
    pytest.param({"max_stale": 5}, 5, False, True, id="9111 5.2.1.2 just not too stale"),
    pytest.param({"max_stale": 5}, 5.1, False, False, id="9111 5.2.1.2 too stale"),
    pytest.param({"max_stale": math.inf}, 9e9, False, True, id="9111 5.2.1.2 any"),
    pytest.param({"max_stale": math.inf}, 5, True, False, id="9111 4.2.4 the response forbids it"),
    pytest.param(
        {"max_stale": math.inf, "no_cache": True}, 5, False, False, id="9111 5.2.1.4 no-cache"
    ),
]


@pytest.mark.parametrize(("asks", "staleness", "forbidden", "accepted"), STALE)
def test_what_accepts_stale_answers(
    asks: dict[str, Any], staleness: float, forbidden: bool, accepted: bool
) -> None:
    control = RequestControl(**asks)
    assert accepts_stale(control, staleness=staleness, forbids_stale=forbidden) is accepted


WORDS = st.sampled_from(
    [b"no-cache", b"max-age", b"min-fresh", b"max-stale", b"=", b"5", b'"', b",", b"\\", b" "]
)


@given(
    st.lists(st.binary(max_size=20) | st.lists(WORDS).map(b"".join)),
    st.floats(0, 2**33),
    st.floats(0, 2**33),
    st.booleans(),
)
def test_no_input_raises(lines: list[bytes], age: float, lifetime: float, immutable: bool) -> None:
    control = parse(Fields([(b"cache-control", line) for line in lines]))
    parse(Fields([(b"pragma", line) for line in lines]))
    wants_validation(control, age=age, lifetime=lifetime, immutable=immutable)
    assert not accepts_stale(control, staleness=age, forbids_stale=True)
