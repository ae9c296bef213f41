"""Run the mutants and report the survivors: `python -m tests.properties.mutation [--only WORD]`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from .equivalent import EQUIVALENT
from .judging import Judge
from .operators import Mutant, mutants
from .targets import MODULES, TESTS

__all__ = ["main"]


class Report:
    """The counts by module, and the survivors."""

    def __init__(self) -> None:
        self.killed: Counter[str] = Counter()
        self.equivalent: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.unused = dict(EQUIVALENT)

    def add(self, mutant: Mutant, test: str) -> None:
        """Count one mutant, and print it if it survived without a reason."""
        if test:
            self.killed[mutant.module] += 1
        elif mutant.key in EQUIVALENT:
            self.equivalent[mutant.module] += 1
            self.unused.pop(mutant.key, None)
        else:
            self.survived[mutant.module] += 1
            path = mutant.module.replace(".", "/") + ".py"
            print(f"{path}:{mutant.line}: {mutant.function or 'a constant'}", flush=True)
            print(f"  - {mutant.before}\n  + {mutant.after}", flush=True)

    def close(self, modules: Sequence[str]) -> int:
        """Print the counts; return the exit status."""
        print(f"\n{'module':40} mutants  killed  survived  equivalent")
        for module in modules:
            killed, survived = self.killed[module], self.survived[module]
            same = self.equivalent[module]
            total = killed + survived + same
            print(f"{module:40} {total:7} {killed:7} {survived:9} {same:11}")
        unused = [key for key in self.unused if key[0] in modules]
        for key in unused:
            print(f"no longer a survivor, remove it from `equivalent`: {key}")
        return 1 if self.survived.total() or unused else 0


def main(given: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties.mutation")
    parser.add_argument("--only", default="", help="only modules with this in their name")
    asked = parser.parse_args(given)
    modules = [name for name in MODULES if asked.only in name]
    report = Report()
    judge = Judge(modules, lambda: _all(modules), report.add)
    # Nobody reads why a test fails for a mutant, and to explain it takes longer than the test.
    options = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--assert=plain", "--tb=native"]
    status = pytest.main([*options, *TESTS], plugins=[judge])
    return int(status) or report.close(modules)


def _all(modules: Sequence[str]) -> Iterator[Mutant]:
    for module in modules:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise LookupError(module)
        yield from mutants(module, Path(spec.origin).read_text(encoding="utf-8"), spec.origin)


if __name__ == "__main__":
    sys.exit(main())
