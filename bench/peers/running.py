"""The environments and the processes of the other caches."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.peers.known import PEERS, Peer
from bench.timing import Subject

__all__ = ["PeerError", "Running", "running_peers"]

ROOT = Path(__file__).parents[2]
INSTALL_SECONDS = 600


class PeerError(Exception):
    """A cache that could not be installed, or does not work here; the message says which and why."""


class Running:
    """The process of one cache."""

    def __init__(self, peer: Peer, python: Path) -> None:
        self.peer = peer
        self._process = subprocess.Popen(
            [python, "-B", "-m", "bench.peers.worker", peer.module, *peer.distributions],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.versions: dict[str, str] = self._read()["versions"]
        except BaseException:
            self.close()
            raise

    def subjects(self) -> tuple[Subject, Subject]:
        """Return two subjects: a hit of this cache, and a bare call in the same process."""
        name = self.peer.name
        return (
            Subject(f"{name}: hit", lambda: self._round("hit")),
            Subject(f"{name}: bare", lambda: self._round("bare")),
        )

    def _round(self, what: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        seconds: float = self._read()["seconds"]
        return seconds

    def close(self) -> None:
        """Stop the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"{self.peer.name} ended without a result")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.peer.name}: {answer['error']}")
        return answer


def _environments_folder() -> Path:
    """Return the folder for the environments: tox's own, which tox removes, or a lasting one."""
    tox = os.environ.get("TOX_ENV_DIR")
    return Path(tox, "tmp") if tox else Path(tempfile.gettempdir(), "cachemw-bench")


def _environment(peer: Peer) -> Path:
    """Return the interpreter of a cache's environment, which is created if it does not exist."""
    wanted = " ".join((sys.version, *peer.requirements))
    name = f"peer-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    home = _environments_folder() / name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = home / "installed"
    if done.exists():
        return python
    home.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(home)], peer)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *peer.requirements], peer)
    done.write_text(wanted)
    return python


def _run(command: Sequence[str], peer: Peer) -> None:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{peer.name} took too long to install") from error
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerError(f"{peer.name} could not be installed: {last}")


@contextlib.contextmanager
def running_peers() -> Iterator[tuple[list[Running], list[str]]]:
    """Start every cache that can be installed; yield them, and messages about the others."""
    running: list[Running] = []
    problems: list[str] = []
    try:
        for peer in PEERS:
            try:
                running.append(Running(peer, _environment(peer)))
            except PeerError as error:
                problems.append(str(error))
        yield running, problems
    finally:
        for process in running:
            process.close()
