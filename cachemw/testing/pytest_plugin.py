"""Fixtures for pytest.

To use them, write `pytest_plugins = ["cachemw.testing.pytest_plugin"]` into the topmost `conftest.py`.

The plugin is not installed as an entry point: every run of pytest would import it, and before a tool that
measures coverage starts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachemw.testing.isolation import caches_off, empty_caches

__all__ = ["cache_off", "empty_cache"]


@pytest.fixture
def empty_cache() -> None:
    """Begin the test with empty caches."""
    empty_caches()


@pytest.fixture
def cache_off() -> Iterator[None]:
    """Run the test without caches: every request goes to the application."""
    with caches_off():
        yield
