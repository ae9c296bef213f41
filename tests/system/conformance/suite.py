"""The suite itself: installed by npm, its server, and its client run against one cache.

`CACHEMW_SUITE` names the folder of a copy that is there already, beside its `node_modules`;
otherwise it is installed into `CACHEMW_SUITE_HOME`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .judge import Case, Result, cases_from
from .servers import ended

__all__ = ["VERSION", "Suite", "SuiteMissing", "find"]

VERSION = "0.4.5"
CHUNK = 100
"""Tests at a time, as the suite's own command line has it."""
ROUNDS = 12
"""How often a repetition may wait for a chunk: few tests run alone, many a few at a time."""
INSTALL_SECONDS = 300
RUN_SECONDS = 600
START_SECONDS = 20.0
SCRIPT = Path(__file__).with_name("suite.mjs")


class SuiteMissing(Exception):
    """What is needed to run the suite is not here."""


def find() -> Suite:
    """Give the suite, installed if need be; raises SuiteMissing, which says what is missing."""
    node = shutil.which("node")
    if node is None:
        raise SuiteMissing("the public suite runs in node, and there is no node here")
    if folder := os.environ.get("CACHEMW_SUITE"):
        return Suite(node, Path(folder))
    home = os.environ.get("CACHEMW_SUITE_HOME")
    if not home:
        raise SuiteMissing("neither CACHEMW_SUITE nor CACHEMW_SUITE_HOME names a folder")
    return Suite(node, _installed(Path(home)))


def _installed(home: Path) -> Path:
    folder = home / "node_modules" / "http-cache-tests"
    described = folder / "package.json"
    if described.exists() and json.loads(described.read_text())["version"] == VERSION:
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise SuiteMissing("the public suite is an npm package, and there is no npm here")
    home.mkdir(parents=True, exist_ok=True)
    options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix", str(home)]
    done = subprocess.run(
        [npm, "install", *options, f"http-cache-tests@{VERSION}"],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    if done.returncode:
        raise SuiteMissing(f"npm could not install the public suite: {done.stderr[-500:]}")
    return folder


class Suite:
    """An installed copy of the suite."""

    def __init__(self, node: str, folder: Path) -> None:
        self._node = node
        self._folder = folder.resolve()

    def cases(self) -> dict[str, Case]:
        """Give the suite's tests, in its own order."""
        return cases_from(self._run("describe"))

    def results(self, base: str) -> dict[str, Result]:
        """Run every test against one cache."""
        results: dict[str, Result] = self._run("run", base, str(CHUNK))
        return results

    def again(self, base: str, names: Iterable[str]) -> dict[str, Result]:
        """Run some tests once more, each alone if they are few."""
        chosen = list(names)
        if not chosen:
            return {}
        results: dict[str, Result] = self._run("run", base, str(-(-len(chosen) // ROUNDS)), *chosen)
        return results

    def _run(self, *arguments: str) -> Any:
        done = subprocess.run(
            [self._node, "--no-warnings", str(SCRIPT), str(self._folder), *arguments],
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"the suite broke off: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def origin(self, home: Path) -> Iterator[int]:
        """Run the suite's server on a port that the kernel chose; give the port."""
        log = home / "origin.log"
        settings = {"protocol": "http", "port": "0", "pidfile": str(home / "origin.pid")}
        environment = {f"npm_config_{name}": value for name, value in settings.items()}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self._node, "--no-warnings", "server/server.mjs"],
                cwd=self._folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        with ended(process):
            yield _port(process, log)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until the suite's server has said where it listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"Listening on .*:(\d+)/", log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.02)
    raise RuntimeError(f"the suite's server did not start: {log.read_text(errors='replace')}")
