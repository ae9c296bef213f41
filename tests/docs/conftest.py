from __future__ import annotations

from tests.support.shop import database, seed, seeded, shop  # noqa: F401
