"""Tags of rows: no text that is a key leaves the process, and every spelling still finds the row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.row_tags import RowTags, plain
from cachemw.engine.model.tags import normalise, user_tag, with_families
from cachemw.recording.sql.rows import by_tag, key_tag, spell

OURS, THEIRS = (RowTags(KeyMaker("shop", secret)) for secret in (b"one", b"two"))
UUID = "5b1c2f3e-0a6d-4c1e-9d57-0c1f2a3b4c5d"


def concealed(tag: str, by: RowTags = OURS) -> str:
    (found,) = by.conceal((tag,))
    return found


@pytest.mark.parametrize(
    "tag",
    [
        *("product:red", "@/db:a:b", "@shop.example/x", "database:t:x", "db"),
        *("db:?", "db:*", "db:t", "db:t:*", "db:t:by:*", "db:t:5", "db:t:-5", "db:t:by:a_id=5"),
        "db:t:",
    ],
)
def test_what_holds_no_text_stays_as_it_is(tag: str) -> None:
    tags = (tag,)
    assert OURS.conceal(tags) is tags
    assert OURS.widen(tags) is tags
    assert plain(tags) is tags


@pytest.mark.parametrize(
    ("written", "recorded"),
    [
        ("db:t:red", "db:t:'red"),
        ("db:t:Red", "db:t:'red"),
        ("db:t:'123", "db:t:'123"),
        ("db:t:a:b", "db:t:'a%3ab"),
        ("db:t:a b", "db:t:'a%20b"),
        ("db:t:a,b", "db:t:'a%2Cb"),
        (f"db:t:{UUID.upper()}", "db:t:'" + UUID.replace("-", "")),
        ("db:t:by:c=red", "db:t:by:c='red"),
        ("db:t:~0", "db:t:'~0"),
    ],
)
def test_what_a_user_writes_is_the_row_that_a_recorder_means(written: str, recorded: str) -> None:
    assert concealed(user_tag(written)) == concealed(recorded)


def test_a_text_that_looks_like_a_number_is_not_the_number() -> None:
    assert concealed("db:t:'123") != "db:t:123"
    assert "123" not in concealed("db:t:'123").partition("~")[0]


def test_a_digest_differs_by_table_column_and_secret() -> None:
    tags = ["db:t:'red", "db:u:'red", "db:t:by:c='red", "db:t:by:d='red"]
    digests = {concealed(tag, by).rpartition("~")[2] for tag in tags for by in (OURS, THEIRS)}
    assert len(digests) == 8


KEYS = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1)


@given(KEYS.map(lambda key: spell("text", key)).filter(bool))
def test_no_text_is_left_and_doing_it_again_changes_nothing(key: str) -> None:
    for tag in (key_tag("t", key), by_tag("t", "c_id", key)):
        found = concealed(tag)
        assert found == concealed(found) == normalise(found)
        assert found.startswith(("db:t:~", "db:t:by:c_id=~"))
        assert len(found.rpartition("~")[2]) == 40
        assert set(with_families([found])) >= {"db:*", "db:t:*"}


def test_a_row_that_another_secret_has_named_is_all_rows() -> None:
    ours, theirs = concealed("db:t:'red"), concealed("db:t:'red", THEIRS)
    assert OURS.widen((ours,)) == (ours,)
    assert OURS.widen((theirs, "db:t:5", "product:1")) == ("db:t:*", "db:t:5", "product:1")
    assert OURS.widen((concealed("db:t:by:c='red", THEIRS),)) == ("db:t:by:*",)


def test_a_row_in_clear_from_elsewhere_is_all_rows() -> None:
    assert OURS.widen(("db:t:red", "db:t:'7", "db:t:by:c=red")) == ("db:t:*", "db:t:by:*")


def test_the_digest_of_another_process_is_passed_on_as_it_is() -> None:
    theirs = concealed("db:t:'red", THEIRS)
    assert concealed(theirs) == theirs


def test_dependencies_see_what_users_write() -> None:
    assert plain(("db:t:'red", "db:t:by:c='7", "db:t:5")) == ("db:t:red", "db:t:by:c=7", "db:t:5")
    assert plain((concealed("db:t:'red"),)) == ("db:t:*",)
