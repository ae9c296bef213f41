"""Make the two applications in a folder of their own, and serve them with and without the cache."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from . import datasette_app
from .crawl import Pass, Visitor, visit_together
from .pages import token_of
from .servers import Server, serve

__all__ = [
    "EDITOR",
    "PASSWORD",
    "WORKERS",
    "Crawls",
    "Site",
    "build_wagtail",
    "crawl_site",
    "datasette_config",
    "log_in_datasette",
    "log_in_wagtail",
    "manage",
    "serve_datasette",
    "serve_wagtail",
]

HERE = Path(__file__).parent
EDITOR = "editor-marker-2718"
PASSWORD = "of-the-editor-alone"
WORKERS = 2

DATASETTE_CONFIG = """
namespace = "trade"
redis = "{redis}"

[[routes]]
name = "datasette"
path = "/{{rest:path}}"
ttl = "10m"
tags = ["trade"]
"""


def datasette_config(folder: Path, redis: str) -> Path:
    """Write the cache's configuration file and give its path."""
    path = folder / "cachemw.toml"
    path.write_text(DATASETTE_CONFIG.format(redis=redis))
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One application: a server without the cache, and one with it over the same data."""

    off: Server
    on: Server
    folder: Path
    redis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawls:
    """What each visitor, by name, saw: twice without the cache, then twice with it."""

    off: dict[str, Pass]
    again: dict[str, Pass]
    cold: dict[str, Pass]
    warm: dict[str, Pass]


def crawl_site(site: Site, visitors: Sequence[Visitor]) -> Crawls:
    """Let the visitors crawl together, four times."""
    off, again, cold, warm = (
        asyncio.run(visit_together(server, visitors))
        for server in (site.off, site.off, site.on, site.on)
    )
    return Crawls(off=off, again=again, cold=cold, warm=warm)


@contextmanager
def serve_datasette(folder: Path, redis: str | None = None) -> Iterator[Server]:
    """Serve the seeded databases in `folder` by uvicorn, behind the cache if there is a Redis."""
    program = [sys.executable, "-B", str(HERE / "datasette_app.py")]
    name = "datasette-off" if redis is None else "datasette-on"
    config = []
    if redis is not None:
        config = [str(datasette_config(folder, redis))]
    with serve(
        lambda descriptor: [*program, str(descriptor), str(folder), *config],
        log=folder / f"{name}.log",
        ready="/-/versions.json",
        cwd=folder,
        env={},
    ) as server:
        yield server


def log_in_datasette(server: Server) -> dict[str, str]:
    """Log in as Datasette's root by its one-time link; give the cookies that prove it."""
    with server.client() as browser:
        answer = browser.get(f"/-/auth-token?token={datasette_app.ROOT_TOKEN}")
        assert answer.status_code == 302, answer.text
        return dict(browser.cookies)


def build_wagtail(folder: Path) -> Path:
    """Make Wagtail's start project, lay the news pages over it, and fill its database."""
    site = folder / "site"
    site.mkdir()
    wagtail = [sys.executable, "-m", "wagtail.bin.wagtail", "start", "press", str(site)]
    run([*wagtail], folder)
    shutil.copytree(HERE / "wagtail_site", site, dirs_exist_ok=True)
    manage(site, "makemigrations", "news")
    manage(site, "migrate")
    manage(site, "seed_site", EDITOR, PASSWORD)
    return site


def manage(site: Path, *arguments: str, redis: str | None = None) -> None:
    """Run a management command of the site in a process of its own."""
    run([sys.executable, "-B", "manage.py", *arguments], site, wagtail_environment(redis))


def run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> None:
    """Run a command; fail with what it printed."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[-3:])} failed:\n{done.stdout}{done.stderr}")


def wagtail_environment(redis: str | None) -> dict[str, str]:
    """Name the settings, and the Redis if the cache is to be on."""
    cache = {} if redis is None else {"SITE_REDIS": redis}
    return {"DJANGO_SETTINGS_MODULE": "press.settings.served", **cache}


@contextmanager
def serve_wagtail(site: Path, redis: str | None = None) -> Iterator[Server]:
    """Serve the site by gunicorn's two threaded workers, behind the cache if there is a Redis."""
    options = f"--workers {WORKERS} --worker-class gthread --threads 4 --no-control-socket"
    name = "wagtail-off" if redis is None else "wagtail-on"
    with serve(
        lambda descriptor: [
            *(sys.executable, "-B", "-m", "gunicorn", "press.served_wsgi:application"),
            *("--bind", f"fd://{descriptor}", *options.split()),
        ],
        log=site.parent / f"{name}.log",
        ready="/",
        cwd=site,
        env=wagtail_environment(redis),
    ) as server:
        yield server


def log_in_wagtail(browser: httpx.Client) -> None:
    """Log the editor in through the admin's form, as a browser does."""
    form = browser.get("/admin/login/")
    answer = browser.post(
        "/admin/login/",
        data={
            "csrfmiddlewaretoken": token_of(form.text),
            "username": EDITOR,
            "password": PASSWORD,
            "next": "/admin/",
        },
    )
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"] == "/admin/"
