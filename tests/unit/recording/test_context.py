"""What an answer is built from is noted wherever it is read, and nothing is noted of another's."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from cachemw import TagError, depends_on, tag, tagged
from cachemw.engine.model.holes import Piece
from cachemw.recording.context import MadeEarlier, Position, Recording, current, unrecorded
from cachemw.recording.thread_context import carry_into_threads


@pytest.fixture
def recording() -> Any:
    made = Recording()
    with made:
        yield made


def test_tags_are_noted_in_their_one_spelling(recording: Recording) -> None:
    tag("b", "product:é")
    depends_on("a")
    tag("b")
    assert recording.close() == ("a", "b", "product:%C3%A9")


def test_where_nothing_is_recorded_nothing_happens() -> None:
    tag("a")
    depends_on("a")
    assert current.get() is None


def test_what_comes_after_the_answer_is_not_noted(recording: Recording) -> None:
    tag("a")
    assert recording.close() == ("a",)
    tag("b")
    recording.add_parts("t", ["t:1"])
    assert recording.close() == ("a",)


@pytest.mark.parametrize("bad", ["", "@route:x", 5, None])
def test_what_is_no_tag_is_an_error_also_where_nothing_is_recorded(bad: Any) -> None:
    with pytest.raises(TagError):
        tag(bad)


@pytest.mark.parametrize("thing", [5, object(), None])
def test_an_answer_cannot_depend_on_what_no_recorder_knows(thing: object) -> None:
    with pytest.raises(TypeError, match="is the recorder of its database installed"):
        depends_on(thing)


def test_many_parts_become_the_whole(recording: Recording) -> None:
    recording.add_parts("few", [f"few:{number}" for number in range(64)])
    recording.add_parts("many", [f"many:{number}" for number in range(40)])
    recording.add_parts("many", [f"many:{number}" for number in range(30, 70)])
    recording.add_parts("many", ["many:500"])
    noted = recording.close()
    assert [each for each in noted if each.startswith("many")] == ["many"]
    assert len(noted) == 65


def test_the_whole_stands_for_its_parts(recording: Recording) -> None:
    recording.add_parts("t", ["t:1"])
    recording.add(["t"])
    recording.add_parts("t", ["t:2"])
    assert recording.close() == ("t",)


# -- wherever it is read ---------------------------------------------------------------------------


def test_what_is_unrecorded_is_not_noted_and_what_follows_is(recording: Recording) -> None:
    @unrecorded()
    def look_up() -> int:
        tag("a")
        return 7

    with unrecorded():
        tag("b")
    assert look_up() == 7
    with suppress(RuntimeError), unrecorded():
        raise RuntimeError
    tag("c")
    assert recording.close() == ("c",)


def test_tasks_and_their_threads_note_for_the_answer(recording: Recording) -> None:
    async def read(name: str) -> None:
        tag(name)

    async def answer() -> None:
        await asyncio.gather(read("a"), asyncio.create_task(read("b")))
        await asyncio.to_thread(tag, "c")
        await sync_to_async(tag)("d")
        await asyncio.get_running_loop().run_in_executor(None, tag, "e")

    carry_into_threads()
    asyncio.run(answer())
    assert recording.close() == ("a", "b", "c", "d", "e")


def test_recordings_of_requests_at_once_are_kept_apart() -> None:
    async def request(name: str, ready: asyncio.Event, go: asyncio.Event) -> tuple[str, ...]:
        made = Recording()
        with made:
            ready.set()
            await go.wait()
            tag(name)
        return made.close()

    async def both() -> list[tuple[str, ...]]:
        ready = [asyncio.Event(), asyncio.Event()]
        tasks = [
            asyncio.create_task(request("a", ready[0], ready[1])),
            asyncio.create_task(request("b", ready[1], ready[0])),
        ]
        return list(await asyncio.gather(*tasks))

    assert asyncio.run(both()) == [("a",), ("b",)]


# -- views -----------------------------------------------------------------------------------------


@tagged("product:{number}", "page:{number}:{page}", "shop")
def view(request: object, number: int, page: int = 1) -> str:
    """Show a product."""
    return f"{number} {page}"


@tagged("product:{number}")
async def aview(number: int) -> int:
    return number


@tagged("product:{number}")
def open_view(**captured: Any) -> Any:
    return captured["number"]


class Views:
    @tagged("of:{number}")
    def get(self, number: int) -> int:
        return number


def test_a_view_is_tagged_with_its_own_arguments(recording: Recording) -> None:
    assert view(None, 5) == "5 1"
    assert view(None, number=6, page=2) == "6 2"
    assert asyncio.run(aview(7)) == 7
    assert open_view(number=8) == 8
    assert Views().get(9) == 9
    assert recording.close() == (
        *("of:9", "page:5:1", "page:6:2"),
        *("product:5", "product:6", "product:7", "product:8", "shop"),
    )
    assert (view.__name__, view.__doc__) == ("view", "Show a product.")


def test_a_value_that_looks_like_a_family_is_none(recording: Recording) -> None:
    view(None, "*")  # type: ignore[arg-type]
    assert recording.close() == ("page:%2A:1", "product:%2A", "shop")


def test_a_parameter_that_the_view_lacks_is_an_error_where_it_is_defined() -> None:
    with pytest.raises(
        ValueError, match=r"'product:\{id\}': .*wrong has no parameter 'id'; it has number"
    ):

        @tagged("product:{id}")
        def wrong(number: int) -> None: ...


def test_a_tag_that_is_none_is_an_error_where_the_view_is_defined() -> None:
    with pytest.raises(TagError):
        tagged("@mine")


def test_a_view_called_wrongly_makes_its_own_complaint(recording: Recording) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'number'"):
        view(None)  # type: ignore[call-arg]


# -- values that were made earlier -----------------------------------------------------------------

EPOCH, OTHER = b"12345678", b"87654321"


def at(number: int, epoch: bytes = EPOCH) -> Position:
    return Position(epoch, number)


def test_what_a_value_was_made_from_counts_for_the_answer(recording: Recording) -> None:
    recording.add(["own"])
    recording.add_value(MadeEarlier(("a", "b"), at(5)))
    recording.add_value(MadeEarlier(("b", "c"), at(7)))
    assert recording.so_far() == ("a", "b", "c", "own")
    assert recording.oldest(at(9)) == at(5)
    assert recording.oldest(at(3)) == at(3)
    assert not recording.has_unknown_value
    recording.close()
    recording.add_value(MadeEarlier(("late",), at(1)))
    assert (recording.so_far(), recording.oldest(at(9))) == (("a", "b", "c", "own"), at(5))


@pytest.mark.parametrize("began", [at(9), at(9, OTHER)])
def test_rows_of_two_lives_of_the_log_are_of_none(recording: Recording, began: Position) -> None:
    """Fails where the answer has the newer life: a purge in between is in neither."""
    recording.read_at(at(90, OTHER))
    recording.add_value(MadeEarlier(("a",), at(90)))
    assert recording.oldest(began).epoch not in (EPOCH, OTHER)


def test_an_unknown_value_stays_unknown_when_it_is_known_later(recording: Recording) -> None:
    recording.add_value(MadeEarlier(("a",)))
    recording.add_value(MadeEarlier(("a",), at(5)))
    assert recording.has_unknown_value
    assert recording.oldest(at(9)) == at(5)
    assert recording.close() == ("a",)


def test_the_outer_answer_is_made_from_the_values_of_the_inner_one() -> None:
    outer = Recording()
    inner, early = Recording(outer), Recording()
    early.add_value(MadeEarlier(("early",), at(2)))
    inner.include(early)
    inner.add_value(MadeEarlier(("a",)))
    inner.close()
    inner.add_value(MadeEarlier(("b",)))
    assert outer.close() == ("a", "b", "early")
    assert outer.oldest(at(9)) == at(2)
    assert outer.has_unknown_value


def test_texts_for_one_client_are_known_to_all_answers_that_they_are_part_of() -> None:
    outer = Recording()
    inner, early = Recording(outer), Recording()
    early.lose_piece(b"early")
    inner.include(early)
    inner.open_holes(in_shadow=False)
    inner.add_piece(Piece(text=b"HOLE", name="basket", placeholder=True))
    inner.lose_piece(b"lost")
    inner.lose_piece(b"5")
    assert inner.piece_texts == ((b"early", False), (b"HOLE", True), (b"lost", False))
    assert [text for text, _ in outer.piece_texts] == [b"HOLE", b"lost"]
