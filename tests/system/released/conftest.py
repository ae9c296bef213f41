from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from cachemw.cli.demo.processes import Shop, find_shop


@pytest.fixture(scope="session")
def shop() -> Shop:
    return find_shop()


@pytest.fixture(scope="session")
def database(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shop.search and str(shop.search) not in sys.path:
        sys.path.append(str(shop.search))
    seed = importlib.import_module(f"{shop.package}.seed")
    sizes = seed.Sizes(products=400, customers=50, orders=2_000)
    return Path(seed.ensure(tmp_path_factory.mktemp("shop") / "shop.db", sizes))
