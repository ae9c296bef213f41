"""The demo as a person runs it, only shorter: a real shop, a real Valkey that is killed, real sockets.

A run of a few seconds is mostly cold, so what the cache is worth is not judged here; the full
demo judges that.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("cachemw.testing")
COMMAND = [sys.executable, "-B", "-c", "from cachemw.cli.demo import demo; demo()"]


def environment(tmp_path: Path) -> dict[str, str]:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    return os.environ | {"TMPDIR": str(scratch)}


def left_behind(tmp_path: Path) -> list[str]:
    """Files in the demo's temp directory but the seeded database, and processes that know it."""
    files = [path.name for path in (tmp_path / "tmp").iterdir() if "cachemw-shop" not in path.name]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(tmp_path).encode() in (entry / "environ").read_bytes():
                files.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return files


def output_until(process: subprocess.Popen[str], text: str) -> str:
    seen = ""
    assert process.stdout is not None
    while text not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


@pytest.mark.thorough
@pytest.mark.timeout(300)  # a minute on an idle machine; its last act waits for evidence
def test_a_short_demo_fails_nothing_serves_nothing_purged_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [*COMMAND, "--seconds", "4", "--json", str(figures)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert figures.exists(), done.stdout + done.stderr
    found = json.loads(figures.read_text())
    assert done.returncode == (0 if found["met"] else 1)
    assert found["before"]["failures"] == found["after"]["failures"] == []
    assert found["before"]["stale"] == found["after"]["stale"] == 0, found["after"]
    assert found["after"]["stale_away_age"] <= found["partition_limit"]
    assert found["after"]["tiers"]["memory"] > 0
    assert found["after"]["tiers"]["shared"] > 0
    assert found["before"]["tiers"] == {"origin": found["before"]["reads"]}
    assert found["after"]["origin_reads"] < found["before"]["origin_reads"]
    assert found["outage"]["end"] - found["outage"]["start"] >= 1
    assert "Who answered the reads" in done.stdout
    assert found["rolled_back"]["guardrail"] in ("misses", "latency"), done.stdout
    assert found["rolled_back"]["healthy"], done.stdout
    assert found["rolled_back"]["failures"] == []
    restarts = found["rolled_back"]["restarts"]
    assert restarts["problem"] == ""
    assert (restarts["asked"], restarts["served"]) == (30, 0), done.stdout
    assert restarts["others_served"] > 0, done.stdout
    assert "detail=flags-unknown" in done.stdout
    assert left_behind(tmp_path) == []


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_half_way_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--seconds", "30"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output_until(process, "without the cache")
        process.send_signal(number)
        rest, _ = process.communicate(timeout=20)
    assert process.returncode == 130, rest
    assert "nothing is left running" in rest
    assert left_behind(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
def test_what_is_left_behind_would_be_found(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], env=environment(tmp_path), stdin=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 5
        while not left_behind(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(left_behind(tmp_path)) == 1
        process.communicate(b"\n")
