"""Random orders of reads, writes and values: nothing older is served than Django's cache has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cachemw
from tests.support.examples import examples
from tests.unit.django.conftest import models
from tests.unit.django.recording.cached_site import BACKENDS, Site, open_site

pytestmark = pytest.mark.usefixtures("goods")

KEYS = ("x", "y", "z")
ROWS = (1, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(ROWS)),
        st.tuples(
            st.sampled_from(["ask", "ask", "pass", "delete", "outside"]), st.sampled_from(KEYS)
        ),
    ),
    max_size=30,
)


def truth(key: str) -> str:
    """Read the rows behind a value: x is the first, y the second, and z both."""
    rows = {"x": (1,), "y": (2,), "z": ROWS}[key]
    return "+".join(models().Shop.objects.get(pk=pk).name for pk in rows)


def value(alias: str, key: str) -> str:
    """Return a value of the cache; z is made from x, if that is there."""
    cache = caches[alias]
    if key != "z":
        return str(cache.get_or_set(key, lambda: truth(key)))
    found = cache.get("z")
    if found is None:
        x = cache.get("x")
        found = truth("z") if x is None else f"{x}+{truth('y')}"
        cache.set("z", found)
    return str(found)


def step(site: Site, alias: str, number: int, what: str, which: Any) -> None:
    cache = caches[alias]
    if what == "write":
        models().Shop.objects.filter(pk=which).update(name=f"v{number}")
    elif what == "delete":
        cache.delete(which)
    elif what == "outside":
        cache.set(which, f"outside {number}")
    elif what == "pass":
        site.get(which, cookie="who=me")
    else:
        check(site, alias, which)


def check(site: Site, alias: str, key: str) -> None:
    """Ask for a page. A hit is as the database has it, or as the application itself would show it now."""
    body, verdict = site.get(key)
    with cachemw.unrecorded():
        has = caches[alias].get(key)
    if verdict == "hit":
        assert body in (truth(key), has)
    else:
        assert body == has
    if verdict == "stored":
        assert body == truth(key), "a page from an old value is not stored"


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(alias=st.sampled_from(BACKENDS), drops=st.booleans(), steps=STEPS)
def test_no_hit_is_older_than_the_rows_and_than_the_cache_of_django(
    tmp_path: Path, alias: str, drops: bool, steps: list[tuple[str, Any]]
) -> None:
    with open_site(tmp_path, drop_cached=["*"] if drops else []) as site:
        for pk, name in ((1, "one"), (2, "two")):
            models().Shop.objects.filter(pk=pk).update(name=name)
        for key in KEYS:
            site.works[key] = lambda key=key: value(alias, key)  # type: ignore[misc]
        site.works["warm"] = lambda: caches[alias].set("warm", 1)
        site.get("warm")
        for number, (what, which) in enumerate(steps):
            step(site, alias, number, what, which)
        for key in KEYS:
            check(site, alias, key)
        if drops and not any(what == "outside" for what, _ in steps):
            assert [site.get(key)[0] for key in KEYS] == [truth(key) for key in KEYS]
