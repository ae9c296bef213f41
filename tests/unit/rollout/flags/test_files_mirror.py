"""The mirror of the live flags on one machine: newer replaces older, as a whole, and no fault is raised."""

from __future__ import annotations

import json
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachemw import Cache
from cachemw.rollout.flags.files import Mirror, MirrorAge
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.rollout.flags.live import LiveFlags, read_document, write_document

ROUTES = [{"name": "products", "path": "/products/{id}", "ttl": "60s", "risk": "low"}]


def flags_at(revision: int, **classes: str) -> Flags:
    """Give the flags of a process that has heard of a revision; 0: of none."""
    flags = Flags([], ConfiguredFlags(), exchange=None)
    flags.receive(write_document(LiveFlags(revision=revision, classes=classes)))
    return flags


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


class Machine:
    """Processes that share a mirror, and what they counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counted: Counter[tuple[str, str]] = Counter()

    def mirror(self, flags: Flags, namespace: str = "shop") -> Mirror:
        def count(event: str, reason: str) -> None:
            self.counted[event, reason] += 1

        return Mirror(str(self.path), namespace, flags, count)

    def restarted(self, namespace: str = "shop") -> LiveFlags:
        """Give what a process knows that starts now."""
        flags = flags_at(0)
        self.mirror(flags, namespace).load()
        return flags.live


@pytest.fixture
def machine(path: Path) -> Machine:
    return Machine(path)


def test_what_is_kept_is_taken_over(machine: Machine) -> None:
    live = LiveFlags(
        revision=3,
        kill=True,
        classes={"low": "off"},
        routes={"products": "shadow"},
        holdout=0.02,
        levels={"high": "debug"},
    )
    flags = flags_at(0)
    flags.receive(write_document(live))
    machine.mirror(flags).save()
    assert machine.restarted() == live
    assert [each.name for each in machine.path.parent.iterdir()] == [machine.path.name]


def test_nothing_that_was_never_set_is_kept(machine: Machine) -> None:
    machine.mirror(flags_at(0)).save()
    assert not machine.path.exists()


def test_an_older_revision_replaces_no_newer_one(machine: Machine) -> None:
    machine.mirror(flags_at(5, low="off")).save()
    machine.mirror(flags_at(4, low="on")).save()
    assert machine.restarted().classes == {"low": "off"}
    machine.mirror(flags_at(6, low="shadow")).save()
    assert machine.restarted().classes == {"low": "shadow"}


def test_what_two_processes_know_apart_is_kept_until_somebody_has_told_redis(
    machine: Machine,
) -> None:
    # Guard: `Mirror._plus_apart`. The revisions are of different lives of Redis, and say nothing.
    one, other = flags_at(0), flags_at(0)
    one.receive(write_document(LiveFlags(revision=5, life="a", kill=True)))
    other.receive(write_document(LiveFlags(revision=9, life="b", classes={"low": "off"})))
    machine.mirror(one).save()
    machine.mirror(other).save()
    assert other.killed  # read from the file, to be told to Redis
    live = machine.restarted()
    assert (live.kill, live.classes) == (True, {"low": "off"})
    lives = {"a": 5}
    told = LiveFlags(revision=10, life="b", lives=lives, kill=True, classes={"low": "off"})
    other.receive(write_document(told))
    machine.mirror(other).save()
    assert machine.restarted() == told


def test_a_process_that_knows_better_takes_nothing_over(machine: Machine) -> None:
    machine.mirror(flags_at(5, low="off")).save()
    flags = flags_at(6, low="shadow")
    machine.mirror(flags).load()
    assert flags.live.classes == {"low": "shadow"}


def test_another_fleets_mirror_counts_as_none(machine: Machine) -> None:
    machine.mirror(flags_at(9, low="off"), "theirs").save()
    assert machine.restarted("ours").revision == 0
    machine.mirror(flags_at(2, low="shadow"), "ours").save()
    assert machine.restarted("ours").revision == 2


@pytest.mark.parametrize(
    "rubbish",
    [b"", b"\xff" * 100, b'{"namespace": "shop"}', b'{"x": ' + b"[" * 100_000, b" " * 1_000_000],
    ids=["empty", "no UTF-8", "half", "deep", "large"],
)
def test_a_mirror_that_cannot_be_read_counts_as_none_and_is_replaced(
    path: Path, rubbish: bytes
) -> None:
    path.write_bytes(rubbish)
    cache = Cache.from_dict({"namespace": "shop", "routes": ROUTES, "flags_mirror": str(path)})
    assert cache.flags.live.revision == 0
    cache.start()
    cache.flags.set(low="off")
    cache.close()
    assert Machine(path).restarted().classes == {"low": "off"}


def test_a_failure_is_counted_and_tried_again(machine: Machine) -> None:
    machine.path = machine.path.parent / "folder" / "flags.json"
    mirror = machine.mirror(flags_at(1, low="off"))
    mirror.save()
    mirror.save()
    assert machine.counted == {("store_error", "flags_mirror"): 2}
    machine.path.parent.mkdir()
    mirror.save()
    assert machine.restarted().revision == 1


def test_a_failure_leaves_nothing_lying_about(machine: Machine) -> None:
    (machine.path / "in the way").mkdir(parents=True)
    machine.mirror(flags_at(1)).save()
    assert machine.counted == {("store_error", "flags_mirror"): 1}
    assert [each.name for each in machine.path.parent.iterdir()] == [machine.path.name]


def test_whoever_restarts_may_read_it(machine: Machine) -> None:
    # Guard: `_MODE`. A file that root made would be closed to the application's user.
    machine.mirror(flags_at(1)).save()
    assert stat.S_IMODE(machine.path.stat().st_mode) == 0o644


def test_readers_find_the_one_or_the_other(machine: Machine) -> None:
    # Guard: `os.replace` in `_replace`.
    machine.mirror(flags_at(1)).save()
    ended = threading.Event()

    def write() -> None:
        for revision in range(2, 300):
            machine.mirror(flags_at(revision, low="canary 12.34%", high="off")).save()
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not ended.is_set():
        seen.append(machine.restarted().revision)
    writer.join()
    assert 0 not in seen
    assert seen == sorted(seen)
    assert machine.counted == {}


@pytest.fixture
def alone(path: Path) -> Iterator[Cache]:
    cache = Cache.from_dict({"namespace": "shop", "routes": ROUTES, "flags_mirror": str(path)})
    yield cache
    cache.close()


def test_no_thread_of_the_callers_writes_it(
    alone: Cache, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[str] = []
    written = threading.Event()

    def replace(path: str, data: bytes) -> None:
        writers.append(threading.current_thread().name)
        written.set()

    monkeypatch.setattr("cachemw.rollout.flags.files._replace", replace)
    alone.start()
    alone.flags.set(low="off")
    assert written.wait(10)
    assert writers == ["cachemw-flags"]


# -- the age ---------------------------------------------------------------------------------------


def aged(path: Path, days: float, **classes: str) -> Flags:
    """Return the flags of a process that starts with a mirror of this age, its configuration low=shadow."""
    document = {
        "namespace": "shop",
        "flags": {"revision": 3, "classes": classes, "kill": False},
        "heard": 1e9 - days * 86400,
    }
    path.write_text(json.dumps(document))
    flags = Flags(
        [],
        ConfiguredFlags(classes={"low": "shadow"}),
        exchange=lambda change: None,
        known=False,
    )
    age = MirrorAge(now=lambda: 1e9)
    Mirror(str(path), "shop", flags, lambda event, reason: None, age=age).load()
    return flags


def test_a_young_mirror_is_knowledge_and_may_turn_on(path: Path) -> None:
    flags = aged(path, 0.9, low="on", high="off")
    assert flags.known
    assert (flags.states()["low"], flags.states()["high"]) == ("on", "off")


@pytest.mark.parametrize("days", [1.1, 400, -1])
def test_any_other_mirror_turns_off_and_not_on(path: Path, days: float) -> None:
    # Guard: `_restricting` in `Flags.restore`. A mirror of tomorrow has a wrong clock.
    flags = aged(path, days, low="on", high="off")
    assert not flags.known
    flags.answered(None)  # Redis is empty: as configured, and what the mirror turns off
    assert (flags.states()["low"], flags.states()["high"]) == ("shadow", "off")
    told = read_document(flags.newest(None))
    assert told is not None
    assert (told.revision, told.classes) == (4, {"high": "off"})


def test_an_old_mirror_gives_way_to_redis_at_the_same_revision(path: Path) -> None:
    flags = aged(path, 2, low="on")
    flags.answered(write_document(LiveFlags(revision=3, classes={"low": "on"})))
    assert flags.states()["low"] == "on"


def test_a_mirror_is_renewed_while_redis_agrees(path: Path) -> None:
    heard = 1e9
    age = MirrorAge(lambda: heard, now=lambda: heard)
    mirror = Mirror(str(path), "shop", flags_at(1), lambda event, reason: None, age=age)
    mirror.save()
    before = path.read_bytes()
    heard += 60
    mirror.save()
    assert path.read_bytes() == before
    heard += 86400 / 24
    mirror.save()
    assert json.loads(path.read_bytes())["heard"] == heard


def test_a_disk_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    warned: list[tuple[str, str]] = []
    path = str(tmp_path / "missing" / "flags.json")
    mirror = Mirror(
        path,
        "shop",
        flags_at(1),
        lambda event, reason: None,
        failed=lambda *each: warned.append(each),
    )
    for _ in range(3):
        mirror.save()
    assert warned == [(path, "No such file or directory")]
