"""Cache-Control for some caches only (RFC 9213)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_control import MAX_SECONDS, CacheControl, parse
from cachemw.http.fields import Fields, Pair
from cachemw.http.targeted import effective_control, targeted_control

OURS, CDN = b"cachemw-cache-control", b"cdn-cache-control"
TARGETS = (OURS, CDN)


def row(name: str, *lines: bytes, **expected: Any) -> Any:
    return pytest.param(lines, CacheControl(targeted=True, **expected), id=name)


READ = [
    row("9213 2.1 max-age", b"max-age=60", max_age=60),
    row("9213 2.1 s-maxage", b"s-maxage=60", s_maxage=60),
    row(
        "9213 2.1 flags",
        b"no-store, must-revalidate, public, immutable",
        no_store=True,
        must_revalidate=True,
        public=True,
        immutable=True,
    ),
    row("9213 2.1 over lines", b"max-age=60", b"no-cache", max_age=60, no_cache=True),
    row("9213 2.1 parameters are ignored", b"max-age=60;x=1, public;y", max_age=60, public=True),
    row("9213 2.2 extensions alone", b"none"),
    row("9213 2.2 extensions beside", b"foobar, max-age=3", max_age=3),
    row("9651 3.2 the last of two counts", b"max-age=5, max-age=60", max_age=60),
    row("9111 1.2.2 too large", b"max-age=99999999999", max_age=MAX_SECONDS),
    row("9111 4.2.1 negative: stale", b"max-age=-5", max_age=0),
    row("9213 2.1 a decimal: stale", b"max-age=60.5", max_age=0),
    row("9213 2.1 a string: stale", b'max-age="60"', max_age=0),
    row("9213 2.1 a boolean: stale", b"max-age", max_age=0),
    row("9213 2.1 an inner list: stale", b"max-age=(60)", max_age=0),
    row("5861 3 no number grants nothing", b"stale-if-error=x", stale_if_error=0),
    row("9651 3.3.6 false is not", b"no-store=?0, private=?0, public=?0"),
    row("9213 2.1 what is no boolean grants nothing", b"public=1, must-understand=yes"),
    row(
        "9213 2.1 a refusal is one all the same",
        b"no-store=1, private=yes, no-cache=(a)",
        no_store=True,
        private=True,
        no_cache=True,
    ),
    row(
        "9111 5.2.2.4 some fields",
        b'no-cache="A, b", private="c"',
        no_cache_fields=frozenset({b"a", b"b"}),
        private_fields=frozenset({b"c"}),
    ),
    row("9111 5.2.2.7 no field: the whole", b'private=""', private=True),
    row("9111 5.2.2.7 what is no name: the whole", b'private="a b"', private=True),
]


@pytest.mark.parametrize(("lines", "expected"), READ)
def test_a_targeted_field_is_read(lines: tuple[bytes, ...], expected: CacheControl) -> None:
    assert targeted_control(Fields([(CDN, line) for line in lines]), TARGETS) == expected


IGNORED = [
    pytest.param([], id="9213 2.2 absent"),
    pytest.param([(CDN, b"")], id="9213 2.1 empty"),
    pytest.param([(CDN, b" ")], id="9213 2.1 a space"),
    pytest.param([(CDN, b"max-age=10000, &&&&&")], id="9213 2.1 a slip"),
    pytest.param([(CDN, b"MaX-aGe=3600")], id="9651 3.1.2 a capital"),
    pytest.param([(CDN, b"max-age =100")], id="9651 3.2 a space before ="),
    pytest.param([(CDN, b"max-age= 100")], id="9651 3.2 a space after ="),
    pytest.param([(b"example-cache-control", b"no-store")], id="9213 2.2 not on the list"),
]


@pytest.mark.parametrize("pairs", IGNORED)
def test_a_targeted_field_is_as_if_it_were_not_there(pairs: list[Pair]) -> None:
    fields = Fields([*pairs, (b"cache-control", b"max-age=9")])
    assert targeted_control(fields, TARGETS) is None
    assert effective_control(fields, TARGETS) == parse(fields)


CHOSEN = [
    pytest.param([(CDN, b"max-age=2"), (OURS, b"max-age=1")], 1, id="9213 2.2 by the list's order"),
    pytest.param([(OURS, b""), (CDN, b"max-age=2")], 2, id="9213 2.2 the first that is not empty"),
    pytest.param([(OURS, b"?"), (CDN, b"max-age=2")], 2, id="9213 2.2 the first that is valid"),
    pytest.param([(OURS, b"public"), (CDN, b"max-age=2")], None, id="9213 2.2 it decides alone"),
    pytest.param(
        [(b"cache-control", b"max-age=3"), (CDN, b"public")], None, id="9213 2.2 over Cache-Control"
    ),
    pytest.param([(b"cache-control", b"max-age=3")], 3, id="9213 2.2 else Cache-Control"),
]


@pytest.mark.parametrize(("pairs", "max_age"), CHOSEN)
def test_one_field_decides(pairs: list[Pair], max_age: int | None) -> None:
    assert effective_control(Fields(pairs), TARGETS).max_age == max_age


def test_without_a_target_list_cache_control_decides() -> None:
    fields = Fields([(CDN, b"no-store"), (b"cache-control", b"max-age=3")])
    assert effective_control(fields, ()) == CacheControl(max_age=3)


WORDS = st.lists(
    st.sampled_from([b"max-age", b"no-store", b"private", b"=", b"1", b'"', b"a", b",", b" ", b"("])
).map(b"".join)


@given(st.lists(st.binary(max_size=20) | WORDS, max_size=3))
def test_no_input_raises_and_no_number_leaves_its_bounds(lines: list[bytes]) -> None:
    control = effective_control(Fields([(CDN, line) for line in lines]), TARGETS)
    for seconds in (control.max_age, control.s_maxage, control.stale_if_error):
        assert seconds is None or 0 <= seconds <= MAX_SECONDS
