"""A tier whose size is left out has room in its container, beside those of the other workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachemw import Cache
from cachemw.config import MemorySettings
from cachemw.process import memory_limit
from cachemw.wiring import memory

MIB = 1 << 20


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A container, by the files in which its kernel would say so."""
    groups = tmp_path / "sys/fs/cgroup"
    groups.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    monkeypatch.setattr(
        memory, "limit_of_container", lambda: memory_limit.limit_of_container(tmp_path)
    )
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    return groups / "memory.max"


@pytest.mark.parametrize(
    ("limit", "workers", "size"),
    [
        ("max", "8", 256),
        (str(2048 * MIB), "8", 128),  # eight of 256 MiB would fill it
        (str(2048 * MIB), "1", 256),
        (str(512 * MIB), "4", 64),
        (str(16 * MIB), "8", 4),
    ],
)
def test_a_size_left_out_minds_the_container_and_the_workers(
    container: Path, monkeypatch: pytest.MonkeyPatch, limit: str, workers: str, size: int
) -> None:
    container.write_text(limit)
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    assert memory.max_size(MemorySettings()) == size * MIB
    assert memory.max_size(MemorySettings(max_size="1GiB")) == 1024 * MIB


def test_workers_that_are_written_nowhere_are_guessed_and_at_most_eight(
    container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.write_text(str(1024 * MIB))
    monkeypatch.setattr(memory, "number_of_workers", lambda: None)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert memory.max_size(MemorySettings()) == 64 * MIB


def test_a_limit_of_the_process_is_not_divided(container: Path) -> None:
    container.write_text(str(64 * MIB))
    assert memory.max_size(MemorySettings(process_limit="200MiB")) == 100 * MIB


def test_what_is_planned_has_room(container: Path) -> None:
    container.write_text(str(64 * MIB))
    assert memory.max_size(MemorySettings(planned_size="300MiB")) == 300 * MIB


def test_a_cache_has_a_tier_of_that_size(container: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container.write_text(str(512 * MIB))
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    cache = Cache.from_dict({"routes": [{"path": "/", "ttl": "1s", "risk": "low"}]})
    assert cache.stats().gauges["memory_max"] == 64 * MIB
    cache.close()
