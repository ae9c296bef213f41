from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.shop import database, seed, seeded, shop  # noqa: F401
from tests.support.sites import KINDS, Site


@pytest.fixture(
    params=[
        pytest.param(kind, marks=[pytest.mark.thorough] if kind == "wsgi" else []) for kind in KINDS
    ]
)
def site_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str | None], Site]]:
    """Give what makes a site over a Redis URL, of each kind in turn; sites are closed in the end."""
    with ExitStack() as stack:

        def make(url: str | None) -> Site:
            site = KINDS[request.param](url)
            stack.callback(site.close)
            return site

        yield make
