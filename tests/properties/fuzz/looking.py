"""One look at one target: atheris in a process of its own, and what its log says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .targets import CORPUS

__all__ = ["Look", "command", "look", "read_log"]

LONGEST_INPUT = 4096
"""Bytes: servers take heads of 8 KiB and more, but what goes wrong there goes wrong in half of it."""
SLOW = 5
"""Seconds that one input may take; the slowest parser needs less than a hundredth."""
MOST_MEMORY = 1024
"""MiB."""
START = 60
"""Seconds for the imports to be instrumented and the kept inputs to be run, on a busy machine."""
_WORDS = Path(__file__).with_name("words.dict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of fuzzing one target."""

    target: str
    seed: int
    executions: int
    coverage: tuple[int, int]
    """Of the kept inputs, and at the end."""
    failure: str | None
    """The end of the log, where a target failed; it says why."""
    reproducer: Path | None

    @property
    def line(self) -> str:
        """The result in one line."""
        first, last = self.coverage
        verdict = "FAILED" if self.failure is not None else "ok"
        return (
            f"{self.target:<16} {self.executions:>9,} executions  coverage {first:>4}"
            f" {f'+{last - first}':>4}  seed {self.seed:<10}  {verdict}"
        )


def look(target: str, *, seconds: int, seed: int, findings: Path) -> Look:
    """Fuzz a target for so long; what fails it is left in `findings`, with the log."""
    grown = findings / f"{target}.corpus"
    grown.mkdir()
    log = findings / f"{target}.log"
    try:
        with log.open("wb") as file:
            status = subprocess.run(
                command(target, seconds=seconds, seed=seed, grown=grown, findings=findings),
                stderr=file,
                stdout=file,
                check=False,
                timeout=seconds + START + 2 * SLOW,
            ).returncode
    except subprocess.TimeoutExpired:
        status = 1
    finally:
        shutil.rmtree(grown)
    found = read_log(target, seed, log.read_text("utf-8", "replace"), status)
    if found.failure is None:
        log.unlink()
    return found


def command(target: str, *, seconds: int, seed: int, grown: Path, findings: Path) -> list[str]:
    """Give the command line. New inputs go to the first folder, so the kept ones stay as they are."""
    return [
        *(
            sys.executable,
            "-m",
            "tests.properties.fuzz.one",
            target,
            str(grown),
            str(CORPUS / target),
        ),
        *(f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST_INPUT}"),
        *(f"-timeout={SLOW}", f"-rss_limit_mb={MOST_MEMORY}", f"-dict={_WORDS}"),
        f"-artifact_prefix={findings / target}-",
        "-print_final_stats=1",
    ]


_COVERAGE = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+)", re.MULTILINE)
_ARTIFACT = re.compile(r"Test unit written to (.+)$", re.MULTILINE)


def read_log(target: str, seed: int, log: str, status: int) -> Look:
    """Read what libFuzzer says; `status` is the exit status of its process."""
    states = _COVERAGE.findall(log) or [("0", "0")]
    initial = re.search(r"^#\d+\s+INITED\s+cov: (\d+)", log, re.MULTILINE)
    written = _ARTIFACT.search(log)
    first = int(initial[1]) if initial else 0
    return Look(
        target=target,
        seed=seed,
        executions=int(states[-1][0]),
        coverage=(first, max(first, int(states[-1][1]))),
        failure=None if status == 0 else "\n".join(_explained(log)),
        reproducer=Path(written[1].strip()) if written else None,
    )


def _explained(log: str) -> list[str]:
    """Give the traceback, or where there is none the last lines."""
    lines = log.splitlines()
    starts = [at for at, line in enumerate(lines) if "Uncaught Python exception" in line]
    return lines[starts[0] :][:40] if starts else lines[-20:]
