"""Make a Django site of this folder in a folder of its own, and serve it with and without the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.real.servers import Server, serve

__all__ = ["WORKERS", "DjangoSite"]

HERE = Path(__file__).parent
WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DjangoSite:
    """A site's folder, and the interpreter that runs it."""

    name: str
    folder: Path
    python: Path
    redis: str

    @classmethod
    def make(cls, name: str, python: Path, folder: Path, redis: str) -> DjangoSite:
        """Copy the site's sources, make its database and fill it."""
        shutil.copytree(HERE / f"{name}_site", folder / "site")
        site = cls(name=name, folder=folder / "site", python=python, redis=redis)
        site.manage("migrate", "--run-syncdb", "--verbosity", "0")
        site.manage("seed")
        return site

    def environment(self, *, cached: bool) -> Mapping[str, str]:
        """Name the settings; with the cache, its Redis too."""
        given = {"DJANGO_SETTINGS_MODULE": "settings"}
        return {**given, "CACHEMW_REDIS": self.redis, "SITE_CACHED": "1"} if cached else given

    def manage(self, *arguments: str, cached: bool = False) -> None:
        """Run a management command in a process of its own; fail with what it printed."""
        done = subprocess.run(
            [str(self.python), "-B", "manage.py", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment(cached=cached)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments} failed:\n{done.stdout}{done.stderr}")

    @contextmanager
    def serve(self, *, cached: bool, ready: str = "/") -> Iterator[Server]:
        """Serve the site by gunicorn's threaded workers, as a deployment does."""
        options = f"--workers {WORKERS} --worker-class gthread --threads 4 --no-control-socket"
        with serve(
            lambda descriptor: [
                *(str(self.python), "-B", "-m", "gunicorn", "served:application"),
                *("--bind", f"fd://{descriptor}", *options.split()),
            ],
            log=self.folder / f"{'on' if cached else 'off'}.log",
            ready=ready,
            cwd=self.folder,
            env=self.environment(cached=cached),
        ) as server:
            yield server
