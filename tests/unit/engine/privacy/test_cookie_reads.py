"""Names of cookies that were read: bounded, and carried by tags that only cachemw makes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cachemw.engine.model.tags import normalise, user_tag, with_families
from cachemw.engine.privacy.cookie_reads import (
    MOST_NAMES,
    NONE_READ,
    CookieReads,
    LearnedReads,
    reads_of,
    tags_of_reads,
)
from cachemw.errors import TagError

READS = [
    NONE_READ,
    CookieReads(frozenset({"theme"})),
    CookieReads(frozenset({"theme", "oscar_open_basket", "a-b.c"})),
    CookieReads(all=True),
    CookieReads(frozenset({"theme"}), all=True),
]


@pytest.mark.parametrize("reads", READS)
def test_tags_carry_what_was_read(reads: CookieReads) -> None:
    tags = tags_of_reads(reads)
    assert reads_of(("product:1", *tags, "@route:p")) == reads
    assert tuple(map(normalise, tags)) == tags
    assert with_families(tags) == tags


@pytest.mark.parametrize("reads", READS)
def test_no_user_can_write_such_a_tag(reads: CookieReads) -> None:
    for tag in tags_of_reads(reads):
        with pytest.raises(TagError):
            user_tag(tag)


def test_how_tags_are_spelt_stays_as_it_is() -> None:
    """They are stored in Redis, where another version may find them."""
    assert tags_of_reads(NONE_READ) == ("@cookie:(none)",)
    both = CookieReads(frozenset({"b", "a"}), all=True)
    assert tags_of_reads(both) == ("@cookie:a", "@cookie:b", "@cookie:(all)")


def test_all_stays_all_whatever_is_added() -> None:
    learned = LearnedReads()
    learned.add(CookieReads(frozenset({"theme"})))
    assert learned.touches({"x", "theme"})
    assert not learned.touches({"x"})
    learned.add(CookieReads(all=True))
    learned.add(CookieReads(frozenset({"lang"})))
    assert learned.reads == CookieReads(frozenset({"theme", "lang"}), all=True)
    assert learned.touches({"x"})


def test_without_a_tag_nobody_watched() -> None:
    assert reads_of(("product:1", "@route:p")) is None


def test_tags_of_two_calls_count_together() -> None:
    """As after a 304: the entry keeps the tags that it had."""
    tags = tags_of_reads(NONE_READ) + tags_of_reads(CookieReads(frozenset({"theme"})))
    assert reads_of(tags) == CookieReads(frozenset({"theme"}))


def test_too_many_names_count_as_all() -> None:
    """I4. Guard: MOST_NAMES."""
    learned = LearnedReads()
    for number in range(MOST_NAMES):
        assert learned.add(CookieReads(frozenset({f"poll_{number}"}))) == (f"poll_{number}",)
    assert (len(learned.reads.names), learned.reads.all) == (MOST_NAMES, False)
    assert learned.add(CookieReads(frozenset({"one_more"}))) == ("*",)
    assert (len(learned.reads.names), learned.reads.all) == (MOST_NAMES, True)
    assert learned.touches({"anything"})


@pytest.mark.parametrize("name", ["", "a b", "(none)", "(all)", "é", "x" * 65, "a,b", "*", "a%"])
def test_a_name_that_no_tag_can_hold_counts_as_all(name: str) -> None:
    learned = LearnedReads()
    assert learned.add(CookieReads(frozenset({name, "theme"}))) == ("theme", "*")
    assert learned.reads == CookieReads(frozenset({"theme"}), all=True)


def test_what_is_new_is_said_once() -> None:
    learned = LearnedReads()
    assert learned.add(CookieReads(frozenset({"b", "a"}))) == ("a", "b")
    assert learned.add(CookieReads(frozenset({"a", "c"}), all=True)) == ("c", "*")
    assert learned.add(CookieReads(frozenset({"a", "c"}), all=True)) == ()
    assert learned.reads.spelt() == ("a", "b", "c", "*")


def test_threads_that_learn_at_once_lose_nothing() -> None:
    # Guard: `LearnedReads` only adds; a whole that is put in place of another loses what came between.
    for _ in range(200):
        learned = LearnedReads()
        gate = threading.Barrier(4)

        def learn(name: str, learned: LearnedReads = learned, gate: Any = gate) -> None:
            gate.wait(20)
            learned.add(CookieReads(frozenset({name})))

        threads = [threading.Thread(target=learn, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert learned.reads.names == frozenset("abcd")
