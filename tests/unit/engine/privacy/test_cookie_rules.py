"""What a route does with each cookie: in the key, removed, seen by the application, or a bypass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.privacy.analytics_cookies import ANALYTICS
from cachemw.engine.privacy.cookie_rules import CookieRules, Cookies

PLAIN: dict[str, Any] = {"ignored": ANALYTICS}
NONE: dict[str, Any] = {"declared": frozenset()}
LANG: dict[str, Any] = {"declared": frozenset({"lang"})}
SESSION: dict[str, Any] = {"personal": ["sessionid", "sess_*"]}

READ: list[Any] = [
    pytest.param(PLAIN, [b"sid=1"], b"sid=1", True, id="unknown cookie: seen, and in no key"),
    pytest.param(PLAIN, [b"_ga=1; _gid=2; _ga_X1=3"], None, False, id="analytics only: none"),
    pytest.param(PLAIN, [b"_ga=1; sid=1;_gid=2"], b"sid=1", True, id="analytics and another"),
    pytest.param(PLAIN, [b"%5fga=1"], None, False, id="ignored, percent-encoded"),
    pytest.param(PLAIN, [b"ga=1"], b"ga=1", True, id="a pattern matches from the start"),
    pytest.param(PLAIN, [b"x_gid=1"], b"x_gid=1", True, id="and a name as a whole"),
    pytest.param(PLAIN, [b"_GID=1"], b"_GID=1", True, id="case counts (RFC 6265 §4.1.1)"),
    pytest.param(PLAIN, [b"_ga=1", b"sid=1"], b"sid=1", True, id="several lines"),
    pytest.param(PLAIN, [b""], None, False, id="empty"),
    pytest.param(PLAIN, [b" ; ;", b"\t"], None, False, id="separators only"),
    pytest.param(PLAIN, [b"=x"], b"=x", True, id="a cookie without a name is one"),
    pytest.param(PLAIN, [b"x"], b"x", True, id="a cookie without a value is one"),
    pytest.param(NONE, [b"sid=1"], None, False, id="none are read"),
    pytest.param(LANG, [b"sid=1; lang=de"], b"lang=de", False, id="one is read"),
    pytest.param(
        {"declared": frozenset({"a", "b"})}, [b"b=2;x=0;a=1"], b"b=2; a=1", False, id="two are read"
    ),
    pytest.param({"ignored": ["a*b*c"]}, [b"a1b2b3c=1; abc=1"], None, False, id="several stars"),
    pytest.param({"ignored": ["a*b*c"]}, [b"abcd=1"], b"abcd=1", True, id="to the end"),
    pytest.param({"ignored": ["a.b"]}, [b"axb=1"], b"axb=1", True, id="a dot is a dot"),
    pytest.param(SESSION, [b"sid=1; _ga=2"], None, False, id="nobody's session: all are removed"),
    pytest.param({**SESSION, **LANG}, [b"lang=de; x=1"], b"lang=de", False, id="and one is read"),
]


@pytest.mark.parametrize(("rules", "lines", "visible", "unkeyed"), READ)
def test_cookies_are_seen_or_removed(
    rules: dict[str, Any], lines: list[bytes], visible: bytes | None, unkeyed: bool
) -> None:
    cookies = CookieRules(**rules).read(lines)
    assert cookies is not None
    assert (cookies.visible, cookies.unkeyed) == (visible, unkeyed)


PERSONAL = [
    b"sessionid=1",
    b"_ga=1; sessionid=1",
    b"lang=de;sessionid=1",
    b"lang=de; sessionid",
    b"sess_42=1",
    b"session%69d=1",
    b" sessionid =1",
]


@pytest.mark.parametrize("line", PERSONAL)
@pytest.mark.parametrize("more", [{}, LANG, NONE, {"ignored": ["sess*"]}], ids=str)
def test_a_personal_cookie_bypasses_whatever_else_is_listed(
    line: bytes, more: dict[str, Any]
) -> None:
    rules = CookieRules(**SESSION, **more)
    assert rules.read([line]) is None
    assert rules.read([b"a=1", line]) is None
    assert rules.key([line]) is None, "no plan that is remembered may serve it"


def test_what_is_not_altered_is_said_so() -> None:
    cookies = CookieRules(**PLAIN).read([b"a=1;b=2"])
    assert cookies is not None
    assert not cookies.altered


def test_many_names_are_not_all_remembered() -> None:
    """I4: clients choose the names."""
    rules = CookieRules(**SESSION)
    for number in range(3000):
        rules.read([b"c%d=1" % number])
    rules.read([b"n" * 5000])
    assert len(rules._kinds) <= 1024
    assert max(map(len, rules._kinds)) <= 64
    assert rules.read([b"sessionid=1"]) is None


def test_the_kinds_of_1024_names_are_remembered_and_those_of_one_more_begin_anew() -> None:
    rules = CookieRules(**SESSION)
    for number in range(1024):
        rules.read([b"c%d=1" % number])
    assert len(rules._kinds) == 1024
    rules.read([b"one=1"])
    assert rules._kinds == {}
    rules.read([b"one=1; two=1"])
    assert set(rules._kinds) == {b"one", b" two"}


def test_a_name_is_remembered_up_to_64_bytes() -> None:
    rules = CookieRules(**SESSION)
    rules.read([b"n" * 64 + b"=1", b"n" * 65 + b"=1"])
    assert set(rules._kinds) == {b"n" * 64}


def test_a_pattern_with_many_stars_takes_no_long_time() -> None:
    rules = CookieRules(personal=["*a*a*a*a*a*a*a*a*b"])
    assert rules.read([b"a" * 8000]) is not None


LOCALE: dict[str, Any] = {**PLAIN, "keyed": frozenset({"lang"})}
ALWAYS: list[Any] = [
    pytest.param(LOCALE, b"lang=de", [b"de"], b"lang=de", False, id="alone: in the key, no more"),
    pytest.param(LOCALE, b"_ga=1; lang=de", [b"de"], b"lang=de", False, id="beside an ignored one"),
    pytest.param(LOCALE, b"lang=de; x=1", [b"de"], b"lang=de; x=1", True, id="beside another"),
    pytest.param(LOCALE, b"x=1", [], b"x=1", True, id="not sent"),
    pytest.param({**LOCALE, **NONE}, b"x=1; lang=de", [b"de"], b"lang=de", False, id="a list"),
    pytest.param({**LOCALE, **SESSION}, b"x=1; lang=de", [b"de"], b"lang=de", False, id="nobody"),
]


@pytest.mark.parametrize(("rules", "line", "keyed", "visible", "unkeyed"), ALWAYS)
def test_a_cookie_that_is_always_keyed_takes_no_other_with_it(
    rules: dict[str, Any], line: bytes, keyed: list[bytes], visible: bytes, unkeyed: bool
) -> None:
    made = CookieRules(**rules)
    cookies = made.read([line])
    assert cookies is not None
    assert [value for _, value in cookies.keyed] == keyed
    assert (cookies.visible, cookies.unkeyed) == (visible, unkeyed)
    assert not made.is_overwritten([line], [b"lang=en"])


SETS = [
    pytest.param([b"sid=2; Path=/"], ["sid"], id="with attributes"),
    pytest.param([b" sid = 2"], ["sid"], id="with spaces"),
    pytest.param([b"sid; Path=/"], ["sid"], id="without a value, with attributes"),
    pytest.param([b"s%69d=2"], ["s%69d"], id="spelt otherwise"),
    pytest.param([b"a=1", b"sid=2"], ["sid"], id="on the second line"),
    pytest.param([b"sid=a=b", b"x=2"], ["sid", "x"], id="two"),
    pytest.param([b"a=1; sid=2"], [], id="as an attribute"),
    pytest.param([b"lang=en"], [], id="one that is seen"),
    pytest.param([], [], id="none is set"),
]


@pytest.mark.parametrize(("lines", "names"), SETS)
def test_a_removed_cookie_is_overwritten_by_its_name(lines: list[bytes], names: list[str]) -> None:
    rules, sent = CookieRules(**LANG), [b"x=0; sid=1", b"lang=de"]
    assert rules.overwritten(sent, lines) == names
    assert rules.is_overwritten(sent, lines) is bool(names)


_COOKIE = st.sampled_from(
    [b"lang=de", b"lang=", b"_ga=1", b"sessionid=1", b"x=1", b"", b" ", b"=", b"l%61ng=1"]
)
_RULES = st.fixed_dictionaries(
    {
        "declared": st.sampled_from([None, frozenset(), frozenset({"lang"})]),
        "ignored": st.sampled_from([(), ANALYTICS]),
        "keyed": st.sampled_from([frozenset(), frozenset({"x"})]),
        "personal": st.sampled_from([(), ("sessionid",)]),
    }
)


@given(_RULES, st.lists(st.lists(_COOKIE, max_size=4).map(b"; ".join), min_size=1, max_size=2))
def test_the_fast_path_keys_what_the_flow_keys(rules: dict[str, Any], lines: list[bytes]) -> None:
    made = CookieRules(**rules)
    cookies, key = made.read(lines), made.key(lines)
    if cookies is None or cookies.unkeyed:
        assert key is None
    else:
        assert list(key or ()) == list(cookies.keyed)
        assert key is not None
    if not made.looks:
        assert cookies == Cookies(), "then a Cookie header changes nothing"
