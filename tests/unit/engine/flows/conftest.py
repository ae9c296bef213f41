"""The engines that the tests of the flows feed by hand."""

from __future__ import annotations

import pytest

from tests.support.engine import GRACE, Kit


@pytest.fixture
def kit() -> Kit:
    return Kit()


@pytest.fixture
def grace() -> Kit:
    """Return an engine whose stored responses may be served stale."""
    return Kit(GRACE)
