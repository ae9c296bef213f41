"""Routes that watch what their application reads: a cookie that it has read makes a request bypass."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.engine.privacy.cookie_reads import MOST_NAMES, CookieReads
from cachemw.engine.privacy.cookie_rules import CookieRules


def watching(**rules: Any) -> CookieRules:
    made = CookieRules(**{"personal": ["sessionid"], **rules})
    made.watch()
    return made


def read(*names: str, every: bool = False) -> CookieReads:
    return CookieReads(frozenset(names), every)


def test_a_cookie_that_was_read_bypasses_and_another_is_removed() -> None:
    rules = watching()
    assert rules.learn(read("theme")) == ("theme",)
    assert rules.read([b"x=1"]) is not None
    for line in (b"theme=dark", b"x=1; theme=dark", b"theme", b"%74heme=1"):
        assert rules.read([line]) is None
        assert rules.key([line]) is None
        assert rules.bypasses([line])


def test_a_route_watches_when_it_is_told_to_and_learns_before() -> None:
    """A command reads from Redis what others have seen, and watches nothing itself."""
    rules = CookieRules(personal=["sessionid"])
    assert not rules.watches
    assert rules.learn(read("theme")) == ("theme",)
    rules.watch()
    assert rules.watches
    assert rules.reads == read("theme")


def test_what_was_remembered_of_a_name_before_is_forgotten() -> None:
    # Guard: `learn` begins `_kinds` anew.
    rules = watching()
    assert rules.key([b"theme=dark"]) == ()
    rules.learn(read("theme"))
    assert rules.key([b"theme=dark"]) is None


LISTED: list[Any] = [
    pytest.param({}, "sessionid", id="personal already"),
    pytest.param({"keyed": frozenset({"lang"})}, "lang", id="in the key"),
    pytest.param({"ignored": ["hist*"]}, "history", id="ignored"),
]


@pytest.mark.parametrize(("more", "name"), LISTED)
def test_for_a_cookie_in_a_list_the_list_counts(more: dict[str, Any], name: str) -> None:
    rules = watching(**more)
    before = rules.read([name.encode() + b"=1"])
    assert rules.learn(read(name)) == ()
    assert rules.read([name.encode() + b"=1"]) == before
    assert rules.unlisted(read(name, "theme")) == read("theme")


def test_who_reads_all_cookies_makes_each_unlisted_one_count() -> None:
    rules = watching(ignored=["_ga*"], keyed=frozenset({"lang"}))
    assert rules.learn(read(every=True)) == ("*",)
    assert rules.bypasses([b"x=1"])
    assert rules.bypasses([b"x"])
    for line in (b"_ga=1", b"lang=de", b"", b" ; "):
        assert not rules.bypasses([line])
        assert rules.key([line]) is not None


def test_nothing_is_learned_twice() -> None:
    rules = watching()
    assert rules.learn(read("b", "a")) == ("a", "b")
    assert rules.learn(read("a", "b")) == ()
    assert rules.learn(read("a", "c")) == ("c",)


def test_a_route_learns_a_bounded_number_of_names() -> None:
    """I4."""
    rules = watching()
    for number in range(2 * MOST_NAMES):
        rules.learn(read(f"poll_{number}"))
    assert len(rules.reads.names) == MOST_NAMES
    assert rules.bypasses([b"anything=1"])


UNWATCHED: list[dict[str, Any]] = [
    {},  # it removes none, so nothing can be missing
    {"declared": frozenset()},
    {"declared": frozenset({"lang"}), "personal": ["sessionid"]},
]


@pytest.mark.parametrize("rules", UNWATCHED)
def test_a_route_that_removes_none_or_says_what_it_reads_learns_nothing(
    rules: dict[str, Any],
) -> None:
    made = CookieRules(**rules)
    made.watch()
    assert not made.watches
    assert made.learn(read("theme", every=True)) == ()
    assert not made.bypasses([b"theme=1"])


def test_a_name_that_came_too_late_to_be_remembered_is_judged_all_the_same() -> None:
    rules = watching()
    for number in range(1024):
        rules.read([b"c%d=1" % number])
    assert not rules.bypasses([b"theme=1"])
    rules.learn(read("theme"))
    assert rules.bypasses([b"theme=1"])


DROPS = [
    (b"oscar_history=1; Path=/", True),
    (b"oscar_history", True),
    (b" oscar_history =1", True),
    (b"oscar_history; Path=/", True),
    (b"oscar%5Fhistory=1", True),
    (b"history=1", False),
    (b"sid=oscar_history=1", False),
    (b"sid=1; oscar_history=1", False),
    (b"=oscar_history", False),
]


@pytest.mark.parametrize(("line", "drops"), DROPS)
def test_a_cookie_is_dropped_by_its_name(line: bytes, drops: bool) -> None:
    assert CookieRules(dropped=frozenset({"oscar_history"})).drops(line) is drops
    assert not CookieRules().drops(line)
