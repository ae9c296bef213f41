"""The memory limit of this process or its container, and how much of it is in use.

The limit is one that the configuration gives for the process, or the smallest of the control groups that it
runs in (Linux: `cgroups(7)`, version 1 and 2). A container's limit is that of a control group. Page cache
that the kernel can drop at once (`inactive_file`) does not count as used: else reading files would look
like pressure. Kubernetes counts in the same way (the working set).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

__all__ = ["MemoryLimit", "limit_of_container", "limit_of_process"]

_NO_LIMIT: Final = 1 << 60
"""Version 1 writes a limit close to 2**63 where there is none."""
_ROOT: Final = Path("/")


class MemoryLimit(NamedTuple):
    """A limit in bytes, and a function that returns the bytes in use, or None if they cannot be read."""

    size: int
    used: Callable[[], int | None]


class _Version(NamedTuple):
    """The files of one version of control groups."""

    mount: str
    limit: str
    usage: str
    droppable: str


_V1: Final = _Version(
    "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
)
_V2: Final = _Version("", "memory.max", "memory.current", "inactive_file")


def limit_of_process(size: int, root: Path = _ROOT) -> MemoryLimit:
    """Return a limit for this process alone, whose resident memory is in use."""

    def resident() -> int | None:
        try:
            pages = (root / "proc/self/statm").read_text("ascii").split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return None

    return MemoryLimit(size, resident)


def limit_of_container(root: Path = _ROOT) -> MemoryLimit | None:
    """Return the smallest limit of the control groups that this process runs in, or None without one."""
    limits = []
    for version, folder in _groups(root):
        size = _number(folder / version.limit)
        if size is not None and size < _NO_LIMIT:
            limits.append(MemoryLimit(size, _usage(version, folder)))
    return min(limits, key=lambda limit: limit.size, default=None)


def _groups(root: Path) -> Iterator[tuple[_Version, Path]]:
    """Yield the folders of the process's control groups, each before those that contain it."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or "memory" in controllers.split(","):
            version = _V1 if controllers else _V2
            base = root / "sys/fs/cgroup" / version.mount
            # In a container the path may be that of the host: then only the base is there.
            inside = PurePosixPath(path.lstrip("/"))
            for each in (inside, *inside.parents):
                yield version, base / each


def _usage(version: _Version, folder: Path) -> Callable[[], int | None]:
    def used() -> int | None:
        total = _number(folder / version.usage)
        return None if total is None else max(0, total - _droppable(version, folder))

    return used


def _droppable(version: _Version, folder: Path) -> int:
    try:
        lines = (folder / "memory.stat").read_text("ascii").splitlines()
        pairs = dict(line.split(" ", 1) for line in lines)
        return int(pairs.get(version.droppable, 0))
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    """Return the number in a file, or None: version 2 says `max` where there is no limit."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
