"""The document in which processes share what they have learned."""

from __future__ import annotations

import msgspec
import pytest

from cachemw.learning.document import name_of, share
from cachemw.learning.kinds import LearnedKind
from cachemw.learning.lifetimes import Lifetimes

from .test_lifetimes import Learner


class Place:
    """A place for a document, which may be changed by others while it is exchanged."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content
        self.lost = 0

    def exchange(self, change) -> None:
        for _ in range(self.lost):
            change(self.content)  # somebody else was faster, so it is made again
        self.content = change(self.content)

    @property
    def kinds(self) -> dict[str, LearnedKind]:
        return msgspec.json.decode(self.content or b"{}", type=dict[str, LearnedKind])


def refreshes(lifetimes: Lifetimes) -> float:
    return round(lifetimes.kinds()["product"].refreshes)


def test_each_process_knows_what_all_have_learned() -> None:
    place, one, other = Place(), Learner(), Learner()
    for learner, count in ((one, 5), (other, 8)):
        for number in range(count + 1):
            learner.see(number * 60.0)
    for learner in (one, other, one, other):
        share(learner.lifetimes, ["product"], place.exchange)
    assert refreshes(one.lifetimes) == refreshes(other.lifetimes) == 13
    newcomer = Lifetimes(100, applies=True)
    share(newcomer, ["product"], place.exchange)
    assert refreshes(newcomer) == 13


def test_what_is_learned_meanwhile_is_neither_lost_nor_counted_twice() -> None:
    place, learner = Place(), Learner()
    learner.see(0.0)
    learner.see(60.0)
    place.lost = 3
    share(learner.lifetimes, ["product"], place.exchange)
    assert round(place.kinds["product"].refreshes) == 1

    def slow(change) -> None:
        place.content = change(place.content)
        learner.see(120.0)  # before this process goes on with the result

    share(learner.lifetimes, ["product"], slow)
    assert (round(place.kinds["product"].refreshes), refreshes(learner.lifetimes)) == (1, 2)
    share(learner.lifetimes, ["product"], place.exchange)
    assert round(place.kinds["product"].refreshes) == 2


def test_what_could_not_be_shared_is_shared_later() -> None:
    place, learner = Place(), Learner()
    learner.see(0.0)
    learner.see(60.0)

    def failing(change) -> None:
        change(place.content)
        raise OSError

    with pytest.raises(OSError):
        share(learner.lifetimes, ["product"], failing)
    share(learner.lifetimes, ["product"], place.exchange)
    assert round(place.kinds["product"].refreshes) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"product": 1}',
        b'{"product": {"seconds": -1}}',
        b'{"product": {"seconds": 1e999}}',
        b'{"product": {"correction": 5}}',
    ],
)
def test_a_document_of_somebody_else_is_replaced(content: bytes) -> None:
    place, learner = Place(content), Learner()
    learner.see(0.0)
    learner.see(60.0)
    share(learner.lifetimes, ["product"], place.exchange)
    assert round(place.kinds["product"].refreshes) == 1


def test_kinds_that_nobody_has_are_left_out() -> None:
    place, learner = Place(b'{"gone": {"seconds": 5}}'), Learner()
    learner.see(0.0)
    share(learner.lifetimes, ["product"], place.exchange)
    assert list(place.kinds) == ["product"]


def test_its_name_is_of_the_namespace() -> None:
    assert name_of("shop") == b"cachemw:{shop}:learned"
