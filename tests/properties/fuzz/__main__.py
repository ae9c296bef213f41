"""Fuzz the parsers, each for a while: `python -m tests.properties.fuzz [--seconds N] [TARGET …]`."""

from __future__ import annotations

import argparse
import importlib
import platform
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .looking import Look, look
from .targets import TARGETS

__all__ = ["main"]


def main(given: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    asked = _arguments(given)
    missing = _why_not()
    if missing is not None:
        print(f"fuzzing is skipped: {missing}")
        return 0
    seed = random.randrange(1, 2**31) if asked.seed is None else asked.seed
    findings = asked.findings or Path(tempfile.mkdtemp(prefix="cachemw-fuzz-"))
    findings.mkdir(parents=True, exist_ok=True)
    failed = 0
    for target in asked.targets or TARGETS:
        found = look(target, seconds=asked.seconds, seed=seed, findings=findings)
        print(found.line, flush=True)
        if found.failure is not None:
            failed += 1
            _explain(found, findings)
    if not failed and asked.findings is None:
        findings.rmdir()
    return 1 if failed else 0


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.properties.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=5, help="for each target (default: 5)")
    parser.add_argument("--seed", type=int, help="to have a run again (default: a new one)")
    parser.add_argument(
        "--findings", type=Path, help="a folder for what fails a target (default: a temporary one)"
    )
    asked = parser.parse_args(given)
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return asked


def _why_not() -> str | None:
    """Say why atheris cannot be had here, or None."""
    try:
        importlib.import_module("atheris")
    except ImportError as error:
        here = f"{platform.python_implementation()} {platform.python_version()}"
        return (
            f"{error}. It comes for CPython 3.11 to 3.14 on Linux with glibc on x86-64;"
            f" this is {here} on {platform.system()} on {platform.machine()}."
        )
    return None


def _explain(found: Look, findings: Path) -> None:
    print(found.failure)
    if found.reproducer is not None and found.reproducer.exists():
        print(f"reproducer: {found.reproducer}")
        print(f"in hex:     {found.reproducer.read_bytes().hex()}")
    print(f"log:        {findings / found.target}.log", flush=True)


if __name__ == "__main__":
    sys.exit(main())
