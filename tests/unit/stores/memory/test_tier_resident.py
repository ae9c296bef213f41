"""The memory tier's cap is one of real bytes: of the process's own growth, as the kernel sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
RUN = """
import sys
sys.path.append(sys.argv[1])
from bench.churned import main
main(sys.argv[2], *map(int, sys.argv[3:]))
"""


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("population", "mebibytes", "turns", "left"),
    [
        # Many objects below 512 bytes, of which Python keeps the pages.
        pytest.param("small", 16, 3, 0.7),
        ("threads", 32, 5, 0.3),
        pytest.param("shared", 32, 5, 0.3),
    ],
)
def test_a_tier_filled_and_replaced_grows_the_process_by_its_cap(
    population: str, mebibytes: int, turns: int, left: float, tmp_path: Path
) -> None:
    """Fails for `threads` without `trim`, for both populations of mixed sizes without `_HOLES`."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(ROOT), population, str(mebibytes), str(turns)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["accounted"] > 0.9 * found["max_size"], "it was full"
    assert found["highest"] <= 1.15 * found["max_size"], found
    assert found["emptied"] <= left * found["max_size"], "what a purge frees is given back"
