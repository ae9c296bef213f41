from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cachemw.cli.demo.processes import Shop, find_shop


@pytest.fixture(scope="session")
def shop() -> Shop:
    return find_shop()


@pytest.fixture(scope="session")
def seed(shop: Shop) -> ModuleType:
    if shop.search and str(shop.search) not in sys.path:
        sys.path.append(str(shop.search))
    return importlib.import_module(f"{shop.package}.seed")


@pytest.fixture(scope="session")
def seeded(seed: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = seed.Sizes(products=400, customers=50, orders=2_000)
    path = tmp_path_factory.mktemp("shop") / "seeded.db"
    return Path(seed.ensure(path, sizes))


@pytest.fixture
def database(seeded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(seeded, tmp_path / "shop.db"))
