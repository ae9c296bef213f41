"""Serve the applications of `programs`, each by the interpreter of its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.real.servers import Server, serve

__all__ = ["ProgramSite"]

PROGRAMS = Path(__file__).with_name("programs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSite:
    """A program, the interpreter that runs it, and the folder of its data."""

    name: str
    python: Path
    folder: Path
    redis: str

    @contextmanager
    def serve(self, *, cached: bool, ready: str = "/") -> Iterator[Server]:
        """Serve the application: by itself if it is a program, else by gunicorn."""
        program = PROGRAMS / f"{self.name}_site.py"
        own = "__main__" in program.read_text()
        module = f"{program.stem}:application"
        options = "--workers 1 --worker-class gthread --threads 4 --no-control-socket"
        given = {"SITE_FOLDER": str(self.folder)}
        if cached:
            given |= {"CACHEMW_REDIS": self.redis, "SITE_CACHED": "1"}
        with serve(
            lambda descriptor: [
                *(str(self.python), "-B"),
                *(
                    (str(program), str(descriptor), str(self.folder))
                    if own
                    else (
                        "-m",
                        "gunicorn",
                        module,
                        "--bind",
                        f"fd://{descriptor}",
                        *options.split(),
                    )
                ),
            ],
            log=self.folder / f"{'on' if cached else 'off'}.log",
            ready=ready,
            cwd=PROGRAMS,
            env=given,
        ) as server:
            yield server
