"""A virtual environment of its own for each application, made once and kept.

They lie in the folder that `CACHEMW_REAL_HOME` names (tox: in its environment's own folder), each
under a name that tells what is in it, so that a change of a version makes another. `cachemw` itself
is not installed there but linked, so that they always serve the code under test.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from .catalogue import APPLICATIONS

__all__ = ["HOME_VARIABLE", "NotInstallable", "python_for"]

HOME_VARIABLE = "CACHEMW_REAL_HOME"
INSTALL_SECONDS = 600
COMPLETE = ".complete"
"""Stands in an environment that was installed to the end."""


class NotInstallable(Exception):
    """An application's packages cannot be had; the text says why."""


def python_for(name: str) -> Path:
    """Give the interpreter of an application's environment, which is made if it is not there.

    Raises NotInstallable with the last words of the installer.
    """
    application = APPLICATIONS[name]
    wanted = [*application.pins, *own_requirements(application.extras)]
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:8]
    folder = home() / f"{name}-{digest}"
    with locked(home() / f"{name}.lock"):
        if not (folder / COMPLETE).exists():
            install(folder, wanted)
            (folder / COMPLETE).touch()
        link_cachemw(folder)
    return folder / "bin" / "python"


def home() -> Path:
    """Give the folder of all environments."""
    given = os.environ.get(HOME_VARIABLE)
    folder = Path(given) if given else Path(tempfile.gettempdir()) / "cachemw-real"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time make an environment."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def own_requirements(extras: Sequence[str]) -> list[str]:
    """List what `cachemw` itself needs, with these extras."""
    found = []
    for line in importlib.metadata.requires("cachemw") or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            requirement.marker = None
            found.append(str(requirement))
    return found


def install(folder: Path, wanted: Sequence[str]) -> None:
    """Make an environment with these packages, by uv where there is one."""
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    uv = find_uv()
    if uv:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", python, *wanted],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [python, "-m", "pip", "install", "--quiet", "--prefer-binary", *wanted],
        ]
    for command in commands:
        run(command)


def run(command: list[str]) -> None:
    """Run an installer's command; raises NotInstallable with its last lines."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotInstallable(f"not installed within {INSTALL_SECONDS} s") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise NotInstallable(" / ".join(lines[-3:]))


def find_uv() -> str | None:
    """Find uv beside this interpreter, or on the path."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def link_cachemw(folder: Path) -> None:
    """Let the environment import the same `cachemw` as this process."""
    spec = find_spec("cachemw")
    assert spec is not None
    assert spec.origin is not None
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    link = folder / "lib" / version / "site-packages" / "cachemw"
    target = Path(spec.origin).parent
    if link.resolve() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
