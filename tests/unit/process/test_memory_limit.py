"""The limit is that of the process or the smallest of its control groups, whichever version they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachemw.process.memory_limit import MemoryLimit, limit_of_container, limit_of_process

MIB = 1 << 20


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(root: Path) -> tuple[int, int | None] | None:
    limit = limit_of_container(root)
    return None if limit is None else (limit.size, limit.used())


def version_2(root: Path, group: str, limit: str, used: int, droppable: int = 0) -> None:
    folder = f"sys/fs/cgroup/{group}"
    write(
        root,
        **{
            f"{folder}/memory.max": f"{limit}\n",
            f"{folder}/memory.current": f"{used}\n",
            f"{folder}/memory.stat": f"anon 5\ninactive_file {droppable}\nactive_file 7\n",
        },
    )


def test_a_container_of_version_2_has_its_limit_and_does_not_count_what_can_be_dropped(
    tmp_path: Path,
) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/\n"})
    version_2(tmp_path, "", str(512 * MIB), 300 * MIB, 100 * MIB)
    assert found(tmp_path) == (512 * MIB, 200 * MIB)


def test_the_smallest_limit_of_all_groups_above_counts(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/pod/box\n"})
    version_2(tmp_path, "pod/box", "max", 10)
    version_2(tmp_path, "pod", "1000", 700)
    version_2(tmp_path, "", "2000", 900)
    assert found(tmp_path) == (1000, 700)


def test_a_path_of_the_host_that_is_not_there_leaves_the_base(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/../kubepods/pod1/box\n"})
    version_2(tmp_path, "", "2000", 900)
    assert found(tmp_path) == (2000, 900)


def test_version_1_has_names_of_its_own(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory/docker/box"
    write(
        tmp_path,
        **{
            "proc/self/cgroup": "5:cpu,cpuacct:/\n4:hugetlb,memory:/docker/box\n0::/\n",
            f"{folder}/memory.limit_in_bytes": "1000\n",
            f"{folder}/memory.usage_in_bytes": "900\n",
            f"{folder}/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert found(tmp_path) == (1000, 600)


@pytest.mark.parametrize(
    "groups",
    ["0::/\n", "4:memory:/\n0::/\n", "nonsense", ""],
)
def test_without_a_limit_there_is_none(tmp_path: Path, groups: str) -> None:
    assert limit_of_container(tmp_path) is None
    write(
        tmp_path,
        **{
            "proc/self/cgroup": groups,
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert limit_of_container(tmp_path) is None


def test_use_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n"})
    assert found(tmp_path) == (1000, None)
    write(tmp_path, **{"sys/fs/cgroup/memory.current": "10\n"})
    assert found(tmp_path) == (1000, 10)
    assert limit_of_process(1000, tmp_path).used() is None


def test_of_a_process_its_resident_memory_is_in_use() -> None:
    limit: MemoryLimit = limit_of_process(1000)
    before = limit.used()
    taken = bytearray(b"x") * (64 * MIB)
    after = limit.used()
    assert limit.size == 1000
    assert before is not None
    assert after is not None
    assert 56 * MIB < after - before < 128 * MIB
    assert len(taken) == 64 * MIB
