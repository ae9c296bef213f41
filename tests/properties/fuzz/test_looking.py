"""What is made of a fuzzer's log, and what is said where there is no fuzzer. Runs none itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from . import __main__ as runner
from .looking import Look, read_log
from .targets import TARGETS

CLEAN = """\
INFO: Seed: 7
#12\tINITED cov: 65 ft: 222 corp: 4/500b exec/s: 0 rss: 50Mb
#20\tNEW    cov: 66 ft: 230 corp: 5/520b lim: 4096 exec/s: 0 rss: 50Mb
#4096\tDONE   cov: 67 ft: 233 corp: 6/530b lim: 4096 exec/s: 1365 rss: 51Mb
"""
CRASHED = (
    CLEAN
    + """\

 === Uncaught Python exception: ===
AssertionError: two is three
==13644== ERROR: libFuzzer: fuzz target exited
artifact_prefix='/x/dates-'; Test unit written to /x/dates-crash-94653c
"""
)


def test_a_clean_log_is_one_line() -> None:
    found = read_log("dates", 7, CLEAN, 0)
    assert (found.executions, found.coverage, found.failure) == (4096, (65, 67), None)
    assert found.line.split() == [
        "dates",
        "4,096",
        "executions",
        "coverage",
        "65",
        "+2",
        "seed",
        "7",
        "ok",
    ]


def test_a_crash_is_shown_with_what_made_it() -> None:
    found = read_log("dates", 7, CRASHED, 77)
    assert found.reproducer == Path("/x/dates-crash-94653c")
    assert found.line.endswith("FAILED")
    assert found.failure is not None
    assert found.failure.splitlines()[1] == "AssertionError: two is three"


def test_a_process_that_does_not_get_to_fuzzing_has_failed() -> None:
    found = read_log("dates", 7, "ImportError: no such module", 1)
    assert (found.executions, found.failure) == (0, "ImportError: no such module")


def test_without_atheris_it_says_so_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    assert runner.main(["dates"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("fuzzing is skipped: ")
    assert "x86-64" in said


@pytest.mark.parametrize("fails", [False, True])
def test_a_target_that_fails_fails_the_run_and_gives_its_input(
    fails: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def looked(target: str, *, seconds: int, seed: int, findings: Path) -> Look:
        reproducer = findings / "dates-crash"
        reproducer.write_bytes(b"\x00hi")
        return Look(
            target=target,
            seed=seed,
            executions=seconds,
            coverage=(1, 2),
            failure="AssertionError" if fails and target == "dates" else None,
            reproducer=reproducer,
        )

    monkeypatch.setitem(sys.modules, "atheris", sys)
    monkeypatch.setattr(runner, "look", looked)
    assert runner.main(["--seconds", "1", "--findings", str(tmp_path)]) == int(fails)
    said = capsys.readouterr().out
    assert said.count("seed") == len(TARGETS)
    assert ("006869" in said) is fails
    assert (str(tmp_path / "dates-crash") in said) is fails
