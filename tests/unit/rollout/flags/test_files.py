"""The file of flags that an operator puts on one machine: it counts within a second, or changes nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cachemw import Cache, ConfigError
from cachemw.rollout.flags.files import LocalFile, read_flags
from tests.support.waiting import until

NAMES = ["products", "/orders/{id:int}"]
ROUTES = [
    {"name": "products", "path": "/products/{id}", "ttl": "60s", "risk": "low"},
    {"name": "orders", "path": "/orders", "ttl": "60s", "risk": "high"},
]
Make = Callable[..., Cache]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags.toml"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    """Give the function that makes a cache, in memory alone, with the file."""
    made: list[Cache] = []

    def make(**settings: object) -> Cache:
        made.append(Cache.from_dict({"routes": ROUTES, "flags_file": str(path), **settings}))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "cachemw-flags"]


# -- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "text", "effective"),
    [
        ({}, 'low = "off"', {"low": "off", "route:products": "off", "high": "on"}),
        ({"low": "off"}, 'low = "on"', {"low": "on", "route:products": "on"}),
        ({"low": "off"}, 'low = "default"', {"low": "shadow", "route:products": "shadow"}),
        ({"low": "off"}, "", {"low": "off"}),
        ({"low": "on"}, '"route:products" = "canary 2.50%"', {"route:products": "canary 2.5%"}),
        ({"route:orders": "off"}, '"route:orders" = "on"', {"route:orders": "on"}),
        ({"holdout": "5%"}, 'holdout = "0%"', {"holdout": "off"}),
        ({}, "holdout = 0.02", {"holdout": "2%"}),
        ({}, 'kill = "on"\nlow = "on"', {"kill": "on", "route:products": "off"}),
        ({"kill": "on"}, 'kill = "off"', {"kill": "on", "route:products": "off"}),
    ],
    ids=lambda value: repr(value) if isinstance(value, str) else None,
)
def test_what_it_says_counts_in_place_of_the_live_setting_and_a_kill_anywhere_kills(
    make: Make, path: Path, live: dict[str, str], text: str, effective: dict[str, str]
) -> None:
    path.write_text(text)
    cache = make(flags={"low": "shadow"})
    cache.flags.set({"low": "on", **live} if text.startswith("kill") else live)
    assert effective.items() <= cache.flags.states().items()


def test_a_configured_kill_is_not_lifted(make: Make, path: Path) -> None:
    path.write_text('kill = "off"')
    assert make(kill=True).flags.states()["kill"] == "on"


def test_it_never_becomes_part_of_what_the_fleet_is_told(make: Make, path: Path) -> None:
    path.write_text('low = "off"\nkill = "on"')
    cache = make()
    cache.flags.set(high="shadow")
    assert (cache.flags.live.classes, cache.flags.live.kill) == ({"high": "shadow"}, False)


def test_it_gives_levels_too(make: Make, path: Path) -> None:
    path.write_text('"level:low" = "debug"\n')
    cache = make()
    cache.flags.set({"level:low": "error", "level:high": "error"})
    assert cache.flags.levels == {"low": "debug", "medium": "info", "high": "error"}


# -- mistakes --------------------------------------------------------------------------------------

DIRECTORY, PIPE = b"a directory", b"a pipe"


def put(path: Path, content: bytes) -> None:
    if content is DIRECTORY:
        path.mkdir()
    elif content is PIPE:
        os.mkfifo(path)
    else:
        path.write_bytes(content)


WRONG = {
    "an unknown flag": (b'lwo = "off"', ["'lwo' is not a flag; the flags are low, medium"]),
    "a table": (b'route.products = "off"', ["'route' is not a flag"]),
    "no class": (b'":low" = "off"', ["':low' is not a flag"]),
    "no level": (b'"level:low" = "loud"', ['level:low: expected "debug", "info"']),
    "a state": (
        b'low = "of"\nkill = true',
        ['low: expected "on"', "kill: expected on, off or default, got true"],
    ),
    "a list": (b'low = ["off"]', ['low: expected "on"']),
    "bad TOML": (b"low = off", ["line 1, column 7: not valid TOML"]),
    "no UTF-8": (b"low = '\xff'", ["byte 7: not UTF-8"]),
    "deep": (b"low = " + b"[" * 100_000, ["not valid TOML: nested too deeply"]),
    "a number": (b"low = " + b"9" * 5000, ["not valid TOML: "]),
    "rubbish": (b"\x00\xfe" * 500_000, ["cannot be read: larger than 256 KiB"]),
    "a directory": (DIRECTORY, ["cannot be read: Is a directory"]),
    "a pipe": (PIPE, ["cannot be read: not a regular file"]),
}


@pytest.mark.parametrize(("content", "mistakes"), WRONG.values(), ids=list(WRONG))
def test_every_mistake_is_found(path: Path, content: bytes, mistakes: Sequence[str]) -> None:
    put(path, content)
    with pytest.raises(ConfigError) as caught:
        read_flags(str(path), NAMES)
    assert caught.value.source == str(path)
    found = [str(problem) for problem in caught.value.problems]
    assert len(found) == len(mistakes)
    for said, wanted in zip(found, mistakes, strict=True):
        assert said.startswith(wanted) or wanted in said


@pytest.mark.parametrize(("content", "mistakes"), WRONG.values(), ids=list(WRONG))
def test_a_file_with_mistakes_changes_nothing_and_is_told_of_once(
    make: Make, path: Path, content: bytes, mistakes: Sequence[str]
) -> None:
    told: list[tuple[str, tuple[str, ...]]] = []
    path.write_text('high = "off"')
    flags = make().flags
    local = LocalFile(str(path), flags, lambda where, found: told.append((where, tuple(found))))
    local.look()
    path.unlink()
    put(path, content)
    for _ in range(3):
        local.look()
    ((where, found),) = told
    assert (where, len(found)) == (str(path), len(mistakes))
    assert flags.states()["high"] == "off"


def test_the_same_mistake_made_again_is_told_again(make: Make, path: Path) -> None:
    told: list[Sequence[str]] = []
    flags = make().flags
    local = LocalFile(str(path), flags, lambda where, found: told.append(found))
    for number, text in enumerate(['low = "of"', 'low = "off"', 'low = "of"', 'high = "of" ']):
        path.write_text(text + " " * number)
        local.look()
    assert len(told) == 3
    assert flags.states()["low"] == "off"


@contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    """Take the process's last descriptors away: what hinders is not the file."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(lowest)


def test_what_can_be_read_again_counts_though_the_file_is_the_same(make: Make, path: Path) -> None:
    # Guard: `_seen` is forgotten where the system refuses.
    told: list[Sequence[str]] = []
    flags = make().flags
    local = LocalFile(str(path), flags, lambda where, found: told.append(found))
    path.write_text('low = "off"')
    with no_file_can_be_opened():
        local.look()
        local.look()
    assert told == [("cannot be read: Too many open files",)]
    assert flags.states()["low"] == "on"
    local.look()
    assert flags.states()["low"] == "off"


def test_a_file_that_is_bad_at_the_start_is_logged_and_serves_all_the_same(
    make: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text('lwo = "off"\nhigh = "of"\n')
    cache = make()
    cache.start()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith(f"event=flags_file_refused path={path} mistakes=")
    assert "lwo" in lines[0]
    assert "high: expected" in lines[0]
    assert cache.flags.states()["high"] == "on"


def test_a_line_does_not_grow_with_the_mistakes(
    make: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("".join(f'x{number} = "off"\n' for number in range(1000)))
    make()
    (record,) = caplog.records
    assert "and 980 more" in record.getMessage()


# -- looking again ---------------------------------------------------------------------------------


def test_a_change_counts_within_a_second_without_redis(make: Make, path: Path) -> None:
    cache = make()
    cache.start()
    for text, state in (('low = "off"', "off"), ('low = "shadow"', "shadow"), (None, "on")):
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        assert until(lambda state=state: cache.flags.states()["low"] == state) < 1  # type: ignore[misc]


def test_what_replaces_it_with_the_same_size_and_time_is_seen(make: Make, path: Path) -> None:
    # Guard: the inode in `_signature`; a deployment may give every file one time.
    flags = make().flags
    local = LocalFile(str(path), flags, lambda where, found: None)
    path.write_text('low  = "off"')
    os.utime(path, ns=(1, 1))
    local.look()
    other = path.with_name("new")
    other.write_text('high = "off"')
    os.utime(other, ns=(1, 1))
    other.replace(path)
    local.look()
    assert (flags.states()["low"], flags.states()["high"]) == ("on", "off")


def test_a_file_that_stays_the_same_is_not_read_again(make: Make, path: Path) -> None:
    # Guard: the comparison with `_seen`.
    path.write_text('low = "off"')
    flags = make().flags
    local = LocalFile(str(path), flags, lambda where, found: None)
    local.look()
    changes: list[None] = []
    flags.on_change.append(lambda: changes.append(None))
    local.look()
    assert changes == []


def test_it_is_found_after_the_folder_has_changed(
    path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    path.write_text('low = "off"')
    cache = make(flags_file=path.name)
    monkeypatch.chdir("/")
    path.write_text('high = "off"')
    cache.start()
    assert cache.flags.states()["high"] == "off"


def test_a_thread_looks_once_a_cache_serves_and_ends_with_it(make: Make) -> None:
    cache = make()
    assert threads() == []
    cache.start()
    cache.start()
    assert len(threads()) == 1
    cache.close()
    assert threads() == []
    cache.start()  # a closed cache can start again
    assert len(threads()) == 1


def test_without_files_there_is_no_thread() -> None:
    cache = Cache.from_dict({"routes": ROUTES})
    cache.start()
    assert threads() == []
    cache.close()


def test_a_fault_of_ours_ends_no_thread(
    make: Make, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Guard: the `except` in `Files._call`.
    cache = make()
    cache.start()
    with monkeypatch.context() as patched:
        patched.setattr("cachemw.rollout.flags.files._signature", lambda path: 1 // 0)
        until(lambda: "flags_files_failed" in caplog.text)
    path.write_text('low = "off"')
    until(lambda: cache.flags.states()["low"] == "off")


FORKED = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
from pathlib import Path
from cachemw import Cache

path = Path(sys.argv[1])
path.write_text('low = "shadow"')
routes = [{"path": "/a", "ttl": "1m", "risk": "low"}]
cache = Cache.from_dict({"routes": routes, "flags_file": str(path)})
cache.start()
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
path.write_text('low = "canary 1%"')
cache.start()
if cache.flags.states()["low"] != "canary 1%":
    os._exit(2)
path.write_text('low = "off"')
ends = time.monotonic() + 10
while cache.flags.states()["low"] != "off":
    if time.monotonic() > ends:
        os._exit(1)
    time.sleep(0.01)
os._exit(0)
"""


def test_a_forked_worker_looks_before_it_serves_and_goes_on_looking(path: Path) -> None:
    # Guard: `Files.reset_after_fork`; the parent's thread is not in the child.
    command = [sys.executable, "-c", FORKED, str(path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
