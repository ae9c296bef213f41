"""The shop's database: always the same, made once, never half."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from cachemw.cli.demo.processes import HOME, Shop


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_the_same_sizes_give_the_same_rows(seed: ModuleType, tmp_path: Path) -> None:
    sizes = seed.Sizes(products=50, customers=10, orders=100)
    paths = [seed.ensure(tmp_path / name, sizes) for name in ("a.db", "b.db")]
    assert dump(paths[0]) == dump(paths[1])


def test_processes_that_ask_at_once_get_one_database_and_leave_no_other_file(
    shop: Shop, tmp_path: Path
) -> None:
    script = (
        f"import pathlib, sys; from {shop.package} import seed;"
        "made = seed.fill;"
        "seed.fill = lambda *a: (print('made'), made(*a));"
        "seed.ensure(pathlib.Path(sys.argv[1]), seed.Sizes(products=500, customers=9, orders=900))"
    )
    command = [sys.executable, "-B", "-c", script, str(tmp_path / "deep" / "shop.db")]
    processes = [
        subprocess.Popen(command, env=shop.environment(), cwd=HOME, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    output = b"".join(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0] * 4
    assert output.split() == [b"made"]
    assert os.listdir(tmp_path / "deep") == ["shop.db"]


def test_a_maker_that_fails_leaves_nothing(
    seed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, sizes: object) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(seed, "fill", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        seed.ensure(tmp_path / "shop.db", seed.Sizes(products=10, customers=1, orders=1))
    assert os.listdir(tmp_path) == []


def test_a_database_of_another_release_is_refused(seed: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SystemExit, match="delete it"):
        seed.ensure(path)
