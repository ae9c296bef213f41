"""Floors: what is purged never counts as valid, bounded memory forgets only towards dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from cachemw.engine.model.entry import Entry, Position, Verdict
from cachemw.invalidation.floors import LOCAL_BITS, NO_EPOCH, Floors
from cachemw.invalidation.purges import Purge
from tests.support.entries import make_entry
from tests.support.examples import examples

SEVERITY = {Verdict.VALID: 0, Verdict.STALE: 1, Verdict.DEAD: 2}
TAGS = ["a", "b", "c", "d"]


def made(floors: Floors, *tags: str) -> Entry:
    """Make an entry as an origin call that begins now will leave it."""
    return entry_at(floors.current_position(), *tags)


def entry_at(position: Position, *tags: str) -> Entry:
    return make_entry(position=position, tags=tags)


# The laws, one by one -----------------------------------------------------------------------------


@pytest.fixture
def floors() -> Floors:
    return Floors(100)


@pytest.mark.parametrize(
    ("tags", "soft", "verdict"),
    [
        pytest.param(["a"], False, Verdict.DEAD, id="hard, its tag"),
        pytest.param(["x", "a"], False, Verdict.DEAD, id="hard, one of several"),
        pytest.param(["x"], False, Verdict.VALID, id="hard, another tag"),
        pytest.param([], False, Verdict.VALID, id="hard, no tag"),
        pytest.param(None, False, Verdict.DEAD, id="hard, everything"),
        pytest.param(["a"], True, Verdict.STALE, id="soft, its tag"),
        pytest.param(["x"], True, Verdict.VALID, id="soft, another tag"),
        pytest.param(None, True, Verdict.STALE, id="soft, everything"),
    ],
)
def test_a_record_overtakes_what_was_begun_before_it(
    floors: Floors, tags: list[str] | None, soft: bool, verdict: Verdict
) -> None:
    before = made(floors, "a", "b")
    floors.apply(1 << 16, tags, soft=soft)
    assert floors.judge(before) is verdict
    assert floors.judge(made(floors, "a", "b")) is Verdict.VALID


# An entry as it would be made: from these tags, in this life of the log, from this record. The log has
# purged the tags `a` (by record 5) and `soft` (by 6), and has lost the records before 3.
OVERTAKEN: list[Any] = [
    pytest.param(["a"], NO_EPOCH, 4, True, id="purged after it began"),
    pytest.param(["x", "a"], NO_EPOCH, 4, True, id="one of its tags was"),
    pytest.param(["a"], NO_EPOCH, 5, False, id="purged before it began"),
    pytest.param(["a"], NO_EPOCH, 6, False, id="purged long before"),
    pytest.param(["x"], NO_EPOCH, 4, False, id="another tag was purged"),
    pytest.param(["soft"], NO_EPOCH, 4, False, id="purged softly"),
    pytest.param([], NO_EPOCH, 3, False, id="at the horizon"),
    pytest.param([], NO_EPOCH, 2, True, id="below the horizon"),
    pytest.param([], b"epoch-02", 6, True, id="of another life"),
]


@pytest.mark.parametrize(("tags", "epoch", "number", "overtaken"), OVERTAKEN)
def test_what_would_be_dead_can_be_told_before_there_is_an_entry(
    floors: Floors, tags: list[str], epoch: bytes, number: int, overtaken: bool
) -> None:
    """I5: such a response is not kept, and nobody who waits gets it."""
    floors.apply(5, ["a"], soft=False)
    floors.apply(6, ["soft"], soft=True)
    floors.raise_horizon(3)
    position = Position(epoch, number)
    assert floors.overtakes(position, tags) is overtaken
    assert (floors.judge(entry_at(position, *tags)) is Verdict.DEAD) is overtaken


@pytest.mark.parametrize("order", [(False, True), (True, False)])
def test_of_a_hard_and_a_soft_purge_the_hard_one_counts(
    floors: Floors, order: tuple[bool, bool]
) -> None:
    before = made(floors, "a")
    for number, soft in enumerate(order, start=1):
        floors.apply(number << 16, ["a"], soft=soft)
    assert floors.judge(before) is Verdict.DEAD


def test_a_valid_entry_is_looked_at_once_for_each_change(floors: Floors) -> None:
    entry = made(floors, "a")
    assert entry.checked != floors.version
    floors.judge(entry)
    assert entry.checked == floors.version
    floors.apply(1 << 16, ["b"], soft=False)
    assert entry.checked != floors.version
    floors.judge(entry)
    assert entry.checked == floors.version


@pytest.mark.parametrize("soft", [False, True])
def test_an_overtaken_entry_is_never_remembered_as_good(floors: Floors, soft: bool) -> None:
    entry = made(floors, "a")
    floors.apply(1 << 16, ["a"], soft=soft)
    floors.judge(entry)
    assert entry.checked != floors.version


def test_a_record_applied_ahead_of_its_turn_leaves_the_position(floors: Floors) -> None:
    """Ours was appended as 9; 5 to 8 are still to come, and what begins now has not seen them."""
    floors.apply(4 << 16, ["x"], soft=False)
    floors.apply(9 << 16, ["a"], soft=False, follow=False)
    assert floors.position == 4 << 16
    begun = made(floors, "b")
    floors.apply(5 << 16, ["b"], soft=False)
    assert floors.judge(begun) is Verdict.DEAD
    assert floors.judge(made(floors, "a")) is Verdict.DEAD, "until the log comes to our record"
    floors.apply(9 << 16, ["a"], soft=False)
    assert floors.judge(made(floors, "a")) is Verdict.VALID


def test_records_that_come_twice_or_late_take_nothing_back(floors: Floors) -> None:
    floors.apply(9 << 16, ["a"], soft=False)
    floors.apply(3 << 16, ["a"], soft=False)
    floors.apply(2 << 16, None, soft=False)
    assert floors.position == 9 << 16
    assert floors.judge(entry_at(Position(NO_EPOCH, 8 << 16), "a")) is Verdict.DEAD


def test_a_record_that_purges_nothing_moves_the_position_alone(floors: Floors) -> None:
    entry = made(floors, "a")
    floors.judge(entry)
    floors.advance(7 << 16)
    assert floors.current_position() == Position(NO_EPOCH, 7 << 16)
    assert entry.checked == floors.version


def test_a_local_purge_holds_at_once_and_what_follows_is_not_taken_for_older(
    floors: Floors,
) -> None:
    floors.apply(5 << 16, ["x"], soft=False)
    before = made(floors, "a")
    floors.apply_locally(["a"], soft=False)
    assert floors.judge(before) is Verdict.DEAD
    assert floors.judge(made(floors, "a")) is Verdict.VALID
    assert floors.position >> 16 == 5, "the log's next record still counts as later"


def test_with_its_bits_used_up_a_local_purge_errs_towards_dead(floors: Floors) -> None:
    floors.advance((5 << 16) | LOCAL_BITS)
    before = made(floors, "a")
    floors.apply_locally(["a"], soft=False)
    assert floors.judge(before) is Verdict.DEAD
    assert floors.judge(made(floors, "a")) is Verdict.DEAD
    assert floors.position == (5 << 16) | LOCAL_BITS
    floors.advance(6 << 16)
    assert floors.judge(made(floors, "a")) is Verdict.VALID


def test_nothing_is_purged_before_the_first_record(floors: Floors) -> None:
    assert floors.current_position() == Position(NO_EPOCH, 0)
    assert (floors.epoch, floors.position, floors.horizon, len(floors)) == (NO_EPOCH, 0, 0, 0)
    assert floors.judge(made(floors, "a")) is Verdict.VALID
    assert not floors.overtakes(floors.current_position(), ["a"])
    assert floors.purges_since(0) == []


def test_another_life_of_the_log_begins_with_nothing_alive(floors: Floors) -> None:
    """I5: a lost epoch means purged, never zero."""
    old = made(floors, "a")
    version = floors.version
    floors.begin_epoch(b"epoch-02", 3 << 16)
    assert floors.version > version
    assert (floors.epoch, floors.position) == (b"epoch-02", 3 << 16)
    assert floors.judge(old) is Verdict.DEAD
    assert floors.judge(entry_at(Position(b"epoch-02", 2 << 16))) is Verdict.DEAD
    assert floors.judge(made(floors, "a")) is Verdict.VALID
    assert len(floors) == 0


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("tags", [["a"], None], ids=["a tag", "everything"])
def test_purges_of_an_old_life_purge_nothing_in_the_new_one(
    floors: Floors, tags: list[str] | None, soft: bool
) -> None:
    """Their numbers may be higher than any that the new life has given so far."""
    floors.apply(9 << 16, tags, soft=soft)
    floors.begin_epoch(b"epoch-02", 0)
    assert floors.judge(made(floors, "a")) is Verdict.VALID
    assert (len(floors), floors.horizon) == (0, 0)
    assert floors.purges_since(0) == []


def test_a_raised_horizon_kills_what_was_begun_before_it(floors: Floors) -> None:
    floors.advance(5 << 16)
    old = made(floors)
    assert floors.judge(old) is Verdict.VALID
    version = floors.version
    floors.raise_horizon(6 << 16)
    assert floors.version > version
    assert old.checked != floors.version
    assert floors.judge(old) is Verdict.DEAD
    floors.raise_horizon(2 << 16)
    assert floors.horizon == 6 << 16


@pytest.mark.parametrize("number", [6 << 16, 2 << 16], ids=["the same", "a lower one"])
def test_a_horizon_that_does_not_rise_lets_nothing_be_judged_again(
    floors: Floors, number: int
) -> None:
    floors.raise_horizon(6 << 16)
    floors.advance(6 << 16)
    entry = made(floors)
    floors.judge(entry)
    floors.raise_horizon(number)
    assert entry.checked == floors.version


@pytest.mark.parametrize("soft", [False, True])
def test_what_is_remembered_is_bounded_and_the_forgotten_counts_as_purged(soft: bool) -> None:
    """I4, I5."""
    floors = Floors(10)
    old = made(floors, "tag-0")
    for number in range(1000):
        floors.apply((number + 1) << 16, [f"tag-{number}"], soft=soft)
        assert len(floors) <= 10
    assert floors.judge(old) is Verdict.DEAD
    assert floors.judge(made(floors, "tag-0")) is Verdict.VALID


def test_a_tag_that_is_purged_again_and_again_is_not_the_one_forgotten() -> None:
    floors = Floors(2)
    horizons = []
    for number, tag in enumerate(["hot", "a", "hot", "b", "hot", "c", "hot"], start=1):
        floors.apply(number << 16, [tag], soft=False)
        horizons.append(floors.horizon >> 16)
    assert horizons == [0, 0, 0, 2, 2, 4, 4], "those of a and b, never that of hot"


# What is told to a log that has lost records ------------------------------------------------------


def purged(floors: Floors) -> None:
    """Purge tags by the records 1 to 4."""
    floors.apply(1, ["a", "b"], soft=False)
    floors.apply(2, ["c"], soft=True)
    floors.apply(3, ["b"], soft=False)
    floors.apply(4, ["d"], soft=True)


HARD_B = Purge(tags=("b",))
SOFT_D = Purge(tags=("d",), soft=True)


@pytest.mark.parametrize(
    ("number", "purges"),
    [
        (0, [Purge(tags=("a", "b")), Purge(tags=("c", "d"), soft=True)]),
        (1, [HARD_B, Purge(tags=("c", "d"), soft=True)]),
        (2, [HARD_B, SOFT_D]),
        (3, [SOFT_D]),
        (4, []),
    ],
)
def test_the_purges_above_a_number_are_told_hard_and_soft(
    floors: Floors, number: int, purges: list[Purge]
) -> None:
    """I5: they are appended again to a log that has lost them."""
    purged(floors)
    assert floors.purges_since(number) == purges


@pytest.mark.parametrize(("number", "told"), [(3, True), (4, True), (5, False)])
def test_a_soft_purge_of_everything_is_told_beside_the_hard_ones(
    floors: Floors, number: int, told: bool
) -> None:
    purged(floors)
    floors.apply(5, None, soft=True)
    everything = [Purge(tags=None, soft=True)] if told else []
    assert floors.purges_since(number) == everything + ([SOFT_D] if number < 4 else [])


@pytest.mark.parametrize(("number", "told"), [(4, True), (5, False), (6, False)])
@pytest.mark.parametrize("raised", [False, True], ids=["a purge", "a raised horizon"])
def test_a_hard_purge_of_everything_is_told_alone(
    floors: Floors, number: int, told: bool, raised: bool
) -> None:
    """So is a horizon that rose for another reason: nobody knows which tags were below it."""
    purged(floors)
    if raised:
        floors.raise_horizon(5)
    else:
        floors.apply(5, None, soft=False)
    assert floors.purges_since(number) == ([Purge(tags=None)] if told else [])


def test_a_child_of_a_fork_judges_though_a_thread_of_the_parent_held_the_lock(
    floors: Floors,
) -> None:
    # Guard: `Floors.reset_after_fork`.
    floors._lock.acquire()
    floors.reset_after_fork()
    assert not floors._lock.locked()


# Readers take no lock: every interleaving with a writer must be safe ------------------------------


class Interrupted(tuple[str, ...]):
    """Tags whose reading lets another thread in, at the worst moment."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def __iter__(self) -> Iterator[str]:
        self.meanwhile()
        return super().__iter__()


WRITERS: list[Any] = [
    pytest.param(
        lambda floors: floors.apply(9 << 16, ["x"], soft=False), id="its floor is forgotten"
    ),
    pytest.param(lambda floors: floors.begin_epoch(b"epoch-02", 0), id="another life begins"),
]


@pytest.mark.parametrize("write", WRITERS)
def test_a_purged_entry_is_not_revived_while_its_floor_goes(
    write: Callable[[Floors], None],
) -> None:
    """The guard is that `judge` reads epoch and horizon after the floors."""
    floors = Floors(1)
    entry = made(floors)
    floors.apply(5 << 16, ["a"], soft=False)
    tags = Interrupted(("a",))
    tags.meanwhile = lambda: write(floors)
    entry.tags = tags
    assert floors.judge(entry) is Verdict.DEAD


def test_a_record_that_lands_during_a_look_makes_the_next_hit_look_again() -> None:
    floors = Floors(100)
    floors.apply(1 << 16, ["z"], soft=True)  # else the tags are read once only
    entry = made(floors)
    tags = Interrupted(("a",))
    done: list[None] = []

    def purge_after_the_first_reading() -> None:
        if done:
            floors.apply(5 << 16, ["a"], soft=False)
        done.append(None)

    tags.meanwhile = purge_after_the_first_reading
    entry.tags = tags
    floors.judge(entry)
    assert entry.checked != floors.version


class Watched(Floors):
    """Floors that let a reader in after every single write."""

    read: Callable[[], None] | None = None

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if self.read is not None and name != "read":
            self.read()


def test_no_origin_call_notes_an_old_position_in_a_new_life() -> None:
    """The guard is that both are one object: such an entry would outlive every purge."""
    floors = Watched(100)
    floors.apply(9 << 16, ["x"], soft=False)
    seen: list[Position] = []
    floors.read = lambda: seen.append(floors.current_position())
    floors.begin_epoch(b"epoch-02", 3 << 16)
    assert Position(b"epoch-02", 3 << 16) in seen
    assert all(position.id == 3 << 16 for position in seen if position.epoch == b"epoch-02")


@pytest.mark.parametrize("soft", [False, True])
def test_no_entry_of_an_old_life_is_revived_while_a_new_one_begins(soft: bool) -> None:
    floors = Watched(100)
    entry = made(floors, "a")
    floors.apply(5 << 16, ["a"], soft=soft)
    floors.raise_horizon(1)
    seen: set[Verdict] = set()
    floors.read = lambda: seen.add(floors.judge(entry))
    floors.begin_epoch(b"epoch-02", 0)
    assert Verdict.VALID not in seen


# Against a model that forgets nothing -------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    number: int
    tags: tuple[str, ...] | None
    soft: bool


class Model:
    """Every record applied in this life of the log, and the rules as the module states them."""

    def __init__(self) -> None:
        self.epoch = NO_EPOCH
        self.position = 0
        self.horizon = 0
        self.records: list[Record] = []

    def apply(self, record: Record, *, follow: bool) -> None:
        self.records.append(record)
        if follow:
            self.position = max(self.position, record.number)

    def judge(self, entry: Entry) -> Verdict:
        if entry.position.epoch != self.epoch or entry.position.id < self.horizon:
            return Verdict.DEAD
        naming = [
            record
            for record in self.records
            if record.number > entry.position.id
            and (record.tags is None or not set(record.tags).isdisjoint(entry.tags))
        ]
        if any(not record.soft for record in naming):
            return Verdict.DEAD
        return Verdict.STALE if naming else Verdict.VALID


PURGED = st.none() | st.lists(st.sampled_from(TAGS), max_size=3, unique=True).map(tuple)


class FloorsMachine(RuleBasedStateMachine):
    """Purge, follow, fork lives and begin entries in any order; exact, bounded and model side by side."""

    entries = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.exact = Floors(1_000_000)
        self.bounded = Floors(2)
        self.model = Model()
        self.server = 0
        """The last number that the log gave."""
        self.coming: list[Record | None] = []
        """What is in the log and was not followed yet; None: a record that purges nothing."""
        self.numbers: list[int] = []
        self.lives = 0
        self.overtaken: dict[int, bool] = {}
        """Entries of this process that a purge was applied over since they were begun: softly?"""
        self.alive: list[Entry] = []

    def _both(self, act: Callable[[Floors], None]) -> None:
        act(self.exact)
        act(self.bounded)

    def _overtake(self, tags: tuple[str, ...] | None, soft: bool) -> None:
        for entry in self.alive:
            if tags is None or not set(tags).isdisjoint(entry.tags):
                hard_already = self.overtaken.get(id(entry)) is False
                self.overtaken[id(entry)] = soft and not hard_already

    @rule(target=entries, tags=st.lists(st.sampled_from(TAGS), max_size=3, unique=True))
    def begin_an_origin_call(self, tags: list[str]) -> Entry:
        assert (
            self.bounded.current_position()
            == self.exact.current_position()
            == Position(self.model.epoch, self.model.position)
        )
        entry = made(self.exact, *tags)
        self.alive.append(entry)
        return entry

    @rule(target=entries, tags=st.lists(st.sampled_from(TAGS), max_size=2), data=st.data())
    def find_an_entry_of_another_process(self, tags: list[str], data: st.DataObject) -> Entry:
        number = data.draw(st.sampled_from([0, *self.numbers]))
        return entry_at(Position(self.model.epoch, number), *tags)

    @rule(tags=PURGED, soft=st.booleans(), ours=st.booleans())
    def append(self, tags: tuple[str, ...] | None, soft: bool, ours: bool) -> None:
        self.server += 1 << 16
        record = Record(self.server, tags, soft)
        self.coming.append(record)
        self.numbers.append(self.server)
        if ours:  # applied at once, ahead of what else is coming
            self._both(lambda f: f.apply(record.number, tags, soft=soft, follow=False))
            self.model.apply(record, follow=False)
            self._overtake(tags, soft)

    @rule()
    def append_flags(self) -> None:
        self.server += 1 << 16
        self.coming.append(None)
        self.numbers.append(self.server)

    @precondition(lambda self: self.coming)
    @rule()
    def follow(self) -> None:
        record = self.coming.pop(0)
        number = self.server - (len(self.coming) << 16)
        if record is None:
            self._both(lambda f: f.advance(number))
            self.model.position = max(self.model.position, number)
            return
        assert record.number == number
        self._both(lambda f: f.apply(number, record.tags, soft=record.soft))
        self.model.apply(record, follow=True)
        self._overtake(record.tags, record.soft)

    @rule(tags=PURGED, soft=st.booleans(), used_up=st.booleans())
    def purge_locally(self, tags: tuple[str, ...] | None, soft: bool, used_up: bool) -> None:
        if used_up:
            last = self.model.position | LOCAL_BITS
            self._both(lambda f: f.advance(last))
            self.model.position = last
        self._both(lambda f: f.apply_locally(tags, soft=soft))
        record = Record(self.model.position + 1, tags, soft)
        self.model.apply(record, follow=record.number & LOCAL_BITS != 0)
        self._overtake(tags, soft)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def lose_the_beginning_of_the_log(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.numbers))
        self._both(lambda f: f.raise_horizon(number))
        self.model.horizon = max(self.model.horizon, number)

    @rule(data=st.data())
    def begin_another_life(self, data: st.DataObject) -> None:
        self.lives += 1
        epoch = self.lives.to_bytes(8, "big")
        horizon = data.draw(st.sampled_from([0, *self.numbers]))
        self._both(lambda f: f.begin_epoch(epoch, horizon))
        self.server, self.coming = horizon, []
        self.numbers = []
        self.model = Model()
        self.model.epoch, self.model.position, self.model.horizon = epoch, horizon, horizon
        self.alive.clear()
        self.overtaken.clear()

    @rule(entry=entries)
    def judge(self, entry: Entry) -> None:
        expected = self.model.judge(entry)
        entry.checked = -1
        assert self.exact.judge(entry) is expected
        dead = self.exact.overtakes(entry.position, entry.tags)
        assert dead is (expected is Verdict.DEAD)
        assert (entry.checked == self.exact.version) is (expected is Verdict.VALID)
        assert SEVERITY[self.bounded.judge(entry)] >= SEVERITY[expected]

    @invariant()
    def what_was_overtaken_is_never_valid(self) -> None:
        """Told without numbers: a purge that was applied after an entry was begun holds over it."""
        for entry in self.alive:
            soft = self.overtaken.get(id(entry))
            for floors in (self.exact, self.bounded):
                verdict = floors.judge(entry)
                if soft is not None:
                    assert SEVERITY[verdict] >= (1 if soft else 2)

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.bounded) <= 2 * self.bounded.limit


TestFloors = FloorsMachine.TestCase
TestFloors.settings = settings(max_examples=examples(300), stateful_step_count=25, deadline=None)
