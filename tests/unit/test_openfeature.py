"""OpenFeature: our flags read through it, and a provider of it that drives ours; never beyond the others."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, GeneralError
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from cachemw import Cache
from cachemw.openfeature import CachemwProvider, Driver
from tests.support.waiting import until

ROUTES = [
    {"name": "products", "path": "/products/{id}", "ttl": "60s", "risk": "low"},
    {"name": "orders", "path": "/orders", "ttl": "60s", "risk": "high"},
]


@pytest.fixture
def cache() -> Iterator[Cache]:
    made = Cache.from_dict({"routes": ROUTES})
    yield made
    made.close()
    api.clear_providers()


# -- our flags, read through it --------------------------------------------------------------------


@pytest.fixture
def ours(cache: Cache) -> OpenFeatureClient:
    api.set_provider(CachemwProvider(cache), domain="ours")
    return api.get_client("ours")


def test_flags_are_read_as_texts_booleans_and_shares(cache: Cache, ours: OpenFeatureClient) -> None:
    cache.flags.set({"low": "canary 25%", "route:orders": "off", "holdout": "2%"})
    assert ours.get_string_value("low", "") == "canary 25%"
    assert ours.get_string_value("route:products", "") == "canary 25%"
    assert ours.get_boolean_value("low", False) is True
    assert ours.get_boolean_value("route:orders", True) is False
    assert ours.get_boolean_value("kill", True) is False
    assert ours.get_boolean_value("holdout", False) is True
    assert ours.get_float_value("low", 0.0) == 0.25
    assert ours.get_float_value("high", 0.0) == 1.0
    assert ours.get_float_value("holdout", 0.0) == 0.02


def test_shadow_lets_nobody_in(cache: Cache, ours: OpenFeatureClient) -> None:
    cache.flags.set(low="shadow")
    assert ours.get_boolean_value("low", True) is False
    assert ours.get_float_value("low", 1.0) == 0.0


@pytest.mark.parametrize("name", ["lwo", "route:nope", ""])
def test_a_flag_that_is_none_gives_the_default_and_says_so(
    ours: OpenFeatureClient, name: str
) -> None:
    found = ours.get_boolean_details(name, True)
    assert (found.value, found.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)


def test_what_a_flag_is_not_gives_the_default_and_says_so(ours: OpenFeatureClient) -> None:
    assert ours.get_integer_details("low", 7).error_code is ErrorCode.TYPE_MISMATCH
    assert ours.get_object_details("low", {}).error_code is ErrorCode.TYPE_MISMATCH


def test_a_change_is_an_event(cache: Cache, ours: OpenFeatureClient) -> None:
    heard = threading.Event()
    ours.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, lambda _: heard.set())
    cache.flags.set(low="off")
    assert heard.wait(10)


# -- theirs, driving ours --------------------------------------------------------------------------


class Theirs(InMemoryProvider):
    """A system of flags in memory, which may fail, and may keep quiet when it changes."""

    def __init__(self) -> None:
        self.fails = False
        super().__init__({})

    def say(self, *, aloud: bool = True, **states: str) -> None:
        for name, state in states.items():
            key = "cachemw." + name.replace("__", ".")
            self._flags[key] = InMemoryFlag("only", {"only": state})
        if aloud:
            self.emit_provider_configuration_changed(ProviderEventDetails())

    def resolve_string_details(self, *args: Any, **kwargs: Any) -> FlagResolutionDetails[str]:
        if self.fails:
            raise GeneralError("it is away")
        return super().resolve_string_details(*args, **kwargs)


@pytest.fixture
def theirs() -> Theirs:
    return Theirs()


@pytest.fixture
def driver(cache: Cache, theirs: Theirs) -> Iterator[Driver]:
    api.set_provider(theirs, domain="theirs")
    made = Driver(cache, api.get_client("theirs"))
    made.start()
    yield made
    made.stop()


def state(cache: Cache, name: str) -> str:
    return cache.flags.states()[name]


def test_what_it_says_when_it_changes_counts_at_once(
    cache: Cache, theirs: Theirs, driver: Driver
) -> None:
    began = time.monotonic()
    theirs.say(low="canary 10%", route__orders="shadow", holdout="5%")
    until(lambda: state(cache, "route:products") == "canary 10%")
    assert time.monotonic() - began < 1
    assert state(cache, "route:orders") == "shadow"
    assert cache.flags.holdout == 0.05


def test_what_it_changes_without_a_word_is_found_within_a_second_or_so(
    cache: Cache, theirs: Theirs, driver: Driver
) -> None:
    theirs.say(aloud=False, low="off")
    until(lambda: state(cache, "low") == "off", limit=3)


def test_it_lets_in_no_more_than_the_others_do(
    cache: Cache, theirs: Theirs, driver: Driver
) -> None:
    # Guards: the two `min` in `Flags`.
    cache.flags.set({"low": "canary 5%", "route:orders": "off"})
    theirs.say(low="on", route__orders="on", high="canary 50%")
    until(lambda: state(cache, "high") == "canary 50%")
    assert state(cache, "route:products") == "canary 5%"
    assert state(cache, "route:orders") == "off"


def test_it_kills_and_cannot_bring_back(cache: Cache, theirs: Theirs, driver: Driver) -> None:
    theirs.say(kill="on")
    until(lambda: cache.flags.killed)
    theirs.say(kill="off")
    until(lambda: not cache.flags.killed)
    cache.flags.kill()
    theirs.say(low="on")
    until(lambda: cache.flags.driven.get("low") == "on")
    assert cache.flags.killed


def test_one_that_is_away_changes_nothing(cache: Cache, theirs: Theirs, driver: Driver) -> None:
    theirs.say(low="off")
    until(lambda: state(cache, "low") == "off")
    theirs.fails = True
    driver.ask()
    assert state(cache, "low") == "off"


@pytest.mark.parametrize("nonsense", ["canary", "perhaps", "10%", ""])
def test_a_state_that_is_none_changes_nothing(
    cache: Cache, theirs: Theirs, driver: Driver, nonsense: str
) -> None:
    theirs.say(low="off", high="shadow")
    until(lambda: state(cache, "high") == "shadow")
    theirs.say(low=nonsense, high="off")
    until(lambda: state(cache, "high") == "off")
    assert state(cache, "low") == "off"


def test_default_and_silence_leave_it_to_the_others(
    cache: Cache, theirs: Theirs, driver: Driver
) -> None:
    theirs.say(low="off", high="off")
    until(lambda: state(cache, "high") == "off")
    theirs.say(low="default")
    del theirs._flags["cachemw.high"]
    until(lambda: state(cache, "high") == "on")
    assert state(cache, "low") == "on"


def test_when_it_is_stopped_the_others_alone_count(
    cache: Cache, theirs: Theirs, driver: Driver
) -> None:
    theirs.say(low="off")
    until(lambda: state(cache, "low") == "off")
    driver.stop()
    assert state(cache, "low") == "on"
    driver.stop()  # once more does no harm


FORKED = """
import os, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from cachemw import Cache
from cachemw.openfeature import Driver

flags = {}
api.set_provider(InMemoryProvider(flags), domain="theirs")
cache = Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m", "risk": "low"}]})
driver = Driver(cache, api.get_client("theirs"))
driver.start()
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
api.get_client("theirs").provider._flags["cachemw.low"] = InMemoryFlag("only", {"only": "off"})
ends = time.monotonic() + 10
while cache.flags.states()["low"] != "off":
    if time.monotonic() > ends:
        os._exit(1)
    time.sleep(0.01)
os._exit(0)
"""


def test_a_forked_worker_is_driven_too() -> None:
    # Guard: `Driver.reset_after_fork`; the parent's thread is not in the child.
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=False).returncode == 0


# -- caches that nobody refers to any more ---------------------------------------------------------


def test_a_driver_does_not_keep_its_cache(theirs: Theirs) -> None:
    # Guard: a driver that is started and forgotten, as here, refers to the parts that it limits, and looks
    # whether the cache is still used.
    api.set_provider(theirs, domain="theirs")
    cache = Cache.from_dict({"routes": ROUTES})
    Driver(cache, api.get_client("theirs")).start()
    assert drivers()
    left = weakref.ref(cache._core)
    del cache
    gc.collect()
    assert left() is None
    until(lambda: not drivers())
    api.clear_providers()


def test_a_provider_keeps_its_cache_until_it_is_replaced() -> None:
    # Guard: the flags, to which the log's thread refers, know the provider by a weak reference.
    cache = Cache.from_dict({"routes": ROUTES})
    provider = CachemwProvider(cache)
    left = weakref.ref(cache._core)
    del cache
    gc.collect()
    assert left() is not None
    assert provider.resolve_string_details("low", "").value == "on"
    flags = provider._flags  # as a thread has them
    del provider
    gc.collect()
    assert left() is None
    flags.set(low="off")


def drivers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cachemw-openfeature"]
