"""The servers that are tested, with the options that each needs: those that docs/servers.md lists."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from cachemw import Cache
from tests.support.servers import FOLDER, Answer, Client, running
from tests.support.waiting import LIMIT, until
from tests.system.infra.programs import program

__all__ = [
    "DAEMON",
    "HOSTS",
    "Host",
    "Running",
    "gunicorn",
    "mod_wsgi",
    "outside_cache",
    "serve",
    "uwsgi",
]

ROOT = FOLDER.parents[1]
Command = Callable[[Path, int], Sequence[str]]
"""Return the command line for a folder and a port."""


@dataclass(frozen=True)
class Host:
    """One way to run the application."""

    command: Command
    caches: int = 2
    """How many caches answer: one for each process, or for each interpreter in it."""
    servers: int = 1
    """How many servers are started, each on a port of its own."""
    module: str = ""
    """What has to be installed from the package index."""
    environment: dict[str, str] = field(default_factory=dict)
    leaves: bool = True
    """Whether it ends so that its heartbeats are taken back."""


def _python(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *words)


def gunicorn(*options: str, app: str = "wsgi_app", workers: int = 2) -> Command:
    def command(folder: Path, port: int) -> Sequence[str]:
        return _python(
            *("gunicorn", f"apps_named:{app}", "--chdir", str(FOLDER), "--workers", str(workers)),
            *("--bind", f"127.0.0.1:{port}", "--pid", str(folder / "pid")),
            *("--no-control-socket", *options),
        )

    return command


def _uvicorn(folder: Path, port: int) -> Sequence[str]:
    where = ("--app-dir", str(FOLDER), "--port", str(port), "--workers", "2")
    return _python("uvicorn", "apps_named:asgi_app", *where)


def _hypercorn(folder: Path, port: int) -> Sequence[str]:
    return _python(
        "hypercorn", "apps_named:asgi_app", "--bind", f"127.0.0.1:{port}", "--workers", "2"
    )


def _granian(interface: str) -> Command:
    def command(folder: Path, port: int) -> Sequence[str]:
        app = f"apps_named:{interface}_app"
        return _python(
            *("granian", app, "--interface", interface, "--port", str(port), "--workers", "2")
        )

    return command


def _daphne(folder: Path, port: int) -> Sequence[str]:
    return _python("daphne", "--port", str(port), "apps_named:asgi_app")


def _waitress(folder: Path, port: int) -> Sequence[str]:
    return _python("waitress", f"--listen=127.0.0.1:{port}", "apps_named:wsgi_app")


def uwsgi(*options: str, debian: bool = False, workers: int = 2) -> Command:
    """Run uWSGI, whose master loads the application and forks the workers in C by default."""

    def command(folder: Path, port: int) -> Sequence[str]:
        if debian:
            first = (program("uwsgi"), "--plugin", "python3")
            _needs_debians_python()
        else:
            first = (str(Path(sys.executable).with_name("pyuwsgi")),)
        return (
            *(
                *first,
                "--master",
                "--processes",
                str(workers),
                "--http-socket",
                f"127.0.0.1:{port}",
            ),
            *("--module", "apps_named:application", "--die-on-term", "--need-app", *options),
            *("--touch-reload", _touched(folder)),
        )

    return command


def _touched(folder: Path) -> str:
    file = folder / "touched"
    file.touch()
    return str(file)


MODULES = ("mpm_{mpm}", "authz_core", "wsgi")
APACHE = """
ServerName 127.0.0.1
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/log
Listen 127.0.0.1:{port}
{modules}
WSGISocketPrefix {folder}/wsgi
{user}
{wsgi}
<Directory {folder}>
  Require all granted
</Directory>
"""
SCRIPT = "from apps_named import application\n"


def mod_wsgi(wsgi: str, mpm: str = "event") -> Command:
    """Run Apache with mod_wsgi; `wsgi` are the lines of its configuration that matter."""

    def command(folder: Path, port: int) -> Sequence[str]:
        apache = program("apache2")
        _needs_debians_python()
        _needs_readable_files()
        where = Path("/usr/lib/apache2/modules")
        if not (where / "mod_wsgi.so").exists():
            pytest.skip("mod_wsgi is not installed: apt-get install libapache2-mod-wsgi-py3")
        modules = "\n".join(
            f"LoadModule {name.format(mpm=mpm)}_module {where}/mod_{name.format(mpm=mpm)}.so"
            for name in MODULES
        )
        (folder / "site.wsgi").write_text(SCRIPT)
        user = _ANOTHER_USER if os.geteuid() == 0 else ""
        text = APACHE.format(folder=folder, port=port, modules=modules, wsgi=wsgi, user=user)
        text = text.replace("@path", ":".join(_path())).replace(
            "@script", str(folder / "site.wsgi")
        )
        (folder / "apache.conf").write_text(text)
        return (apache, "-f", str(folder / "apache.conf"), "-D", "FOREGROUND")

    return command


DAEMON = """
WSGIDaemonProcess site processes=2 threads=4 python-path=@path {options}
WSGIProcessGroup site
WSGIApplicationGroup {group}
WSGIScriptAlias / @script
"""
INTERPRETERS = """
WSGIDaemonProcess site processes=2 threads=4 python-path=@path
WSGIProcessGroup site
<Location />
  WSGIApplicationGroup one
</Location>
<Location /other>
  WSGIApplicationGroup two
</Location>
WSGIScriptAlias /other @script
WSGIScriptAlias / @script
"""
EMBEDDED = """
StartServers 2
MinSpareServers 2
MaxSpareServers 3
MaxRequestWorkers 2
WSGIPythonPath @path
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias / @script
"""


def _path() -> list[str]:
    """Return where the application, the package and what it needs are imported from."""
    site = {str(Path(str(spec.origin)).parents[1]) for spec in map(_found, ("msgspec", "redis"))}
    return [str(FOLDER), str(Path(str(_found("cachemw").origin)).parents[1]), *sorted(site)]


def _found(module: str) -> Any:
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    return spec


def _needs_debians_python() -> None:
    """Skip where the packages of this Python cannot be imported by Debian's."""
    version = "{}.{}".format(*sys.version_info[:2])
    if not any(Path(f"/usr/lib/{kind}").glob(f"libpython{version}.so*") for kind in _LIBRARIES):
        pytest.skip(f"Debian's servers here embed another Python than {version}")


def _needs_readable_files() -> None:
    """Skip where Apache's own user could not import what is tested. It refuses to serve as root."""
    for path in map(Path, _path()):
        for each in (path, *path.parents):
            if os.geteuid() == 0 and not each.stat().st_mode & 0o001:
                pytest.skip(f"Apache's user cannot read {path}, for the mode of {each}")


_ANOTHER_USER = "User www-data\nGroup www-data"
_LIBRARIES = ("x86_64-linux-gnu", "aarch64-linux-gnu")
_WARM = {"APP_WARM": "1"}
HOSTS = {
    "gunicorn sync": Host(gunicorn("--worker-class", "sync")),
    "gunicorn gthread": Host(gunicorn("--worker-class", "gthread", "--threads", "4")),
    "gunicorn gevent": Host(gunicorn("--worker-class", "gevent"), module="gevent"),
    "gunicorn uvicorn": Host(
        gunicorn("--worker-class", "uvicorn.workers.UvicornWorker", app="asgi_app"),
        module="uvicorn.workers",
    ),
    "gunicorn preload": Host(
        gunicorn("--worker-class", "gthread", "--threads", "4", "--preload"), environment=_WARM
    ),
    "uvicorn": Host(_uvicorn),
    "hypercorn": Host(_hypercorn, module="hypercorn"),
    "granian asgi": Host(_granian("asgi"), module="granian"),
    "granian wsgi": Host(_granian("wsgi"), module="granian"),
    "daphne": Host(_daphne, servers=2, module="daphne"),
    "waitress": Host(_waitress, servers=2, module="waitress", leaves=False),
    "uwsgi": Host(uwsgi(), module="pyuwsgi"),
    "uwsgi warm": Host(uwsgi(), module="pyuwsgi", environment=_WARM),
    "uwsgi lazy": Host(uwsgi("--lazy-apps"), module="pyuwsgi"),
    "uwsgi threads": Host(uwsgi("--threads", "4"), module="pyuwsgi"),
    "uwsgi hooks": Host(uwsgi("--py-call-uwsgi-fork-hooks"), module="pyuwsgi"),
    "uwsgi debian": Host(uwsgi("--enable-threads", debian=True)),
    "uwsgi debian warm": Host(uwsgi("--enable-threads", debian=True), environment=_WARM),
    "mod_wsgi daemon": Host(mod_wsgi(DAEMON.format(group="%{GLOBAL}", options=""))),
    "mod_wsgi interpreters": Host(mod_wsgi(INTERPRETERS), caches=4, leaves=False),
    "mod_wsgi embedded": Host(mod_wsgi(EMBEDDED, mpm="prefork")),
}


class Running:
    """The servers of one host, and whoever asks them."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        environment: dict[str, str],
        started: list[tuple[Popen[bytes], int]],
    ) -> None:
        self.folder = folder
        self.environment = environment
        self.processes = [process for process, _ in started]
        self._ports = [port for _, port in started]
        self._mounts = ("", "/other") if host.caches > 2 else ("",)
        self._pool = ThreadPoolExecutor(8)
        self._asked = 0

    def ask(self, path: str, method: str = "GET") -> Answer:
        """Ask on a connection of its own: each of the servers and interpreters in turn."""
        self._asked += 1
        port = self._ports[self._asked % len(self._ports)]
        mount = self._mounts[self._asked // len(self._ports) % len(self._mounts)]
        with Client(port) as client:
            return client.get(mount + path, method)

    def at_once(self, *paths: str) -> list[Answer]:
        """Ask for some paths, or eight times for one, at the same time."""
        return list(self._pool.map(self.ask, paths if len(paths) > 1 else paths * 8))

    def each(self, path: str, names: set[str]) -> list[Answer]:
        """Ask until each of these caches has answered; return all answers."""
        answers: list[Answer] = []

        def everybody() -> bool:
            answers.extend(self.at_once(path))
            return names <= {answer.headers["worker"] for answer in answers}

        until(everybody)
        return answers

    def names(self, caches: int, before: frozenset[str] | set[str] = frozenset()) -> set[str]:
        """Return the names of the caches that answer, when all follow the log; none was there before."""
        found: set[str] = set()

        def everybody() -> bool:
            self.at_once("/pages/begin")  # the first request begins to follow
            for answer in self.at_once("/who"):
                if b'"live": true' in answer.body:
                    found.add(answer.headers["worker"])
            return len(found - before) >= caches

        until(everybody)
        return found - before

    def change(self, name: str) -> int:
        """Write the next version of a page, as the application does; return it."""
        file = self.folder / "data" / f"version-{name}"
        version = (int(file.read_text()) if file.exists() else 1) + 1
        draft = file.with_name(f"draft-{name}")
        draft.write_text(str(version))
        draft.replace(file)
        return version

    def log(self) -> str:
        """Return what the servers have printed."""
        return "".join(file.read_text(errors="replace") for file in self.folder.glob("log*"))

    def terminate(self) -> float:
        """End all servers; return the seconds that the slowest took."""
        for process in self.processes:
            process.terminate()
        return sum(
            until(lambda process=process: process.poll() is not None) for process in self.processes
        )


@contextmanager
def serve(host: Host, redis_url: str) -> Iterator[Running]:
    """Run a host until the block ends."""
    if host.module and importlib.util.find_spec(host.module) is None:
        pytest.skip(f"{host.module} is not installed: there may be no wheel of it for this Python")
    started = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cachemw-")))
        data = folder / "data"
        data.mkdir()
        for each in (folder, data):  # pytest's own folders are closed to other users
            each.chmod(0o777)
        environment = {
            "APP_REDIS": redis_url,
            "APP_DATA": str(data),
            "PYTHONPATH": ":".join(_path()),
            "XDG_STATE_HOME": str(data),
            **host.environment,
        }
        for number in range(host.servers):
            port = _free_port()
            command = host.command(folder, port)
            log = folder / f"log-{number}"
            process, _ = stack.enter_context(
                running(command, log, program=(), port=port, **environment)
            )
            started.append((process, port))
        yield Running(host, folder, environment, started)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def outside_cache(redis_url: str) -> Iterator[Cache]:
    """Yield a cache of the same namespace in the test's own process, which follows the log."""
    cache = Cache.from_dict(
        {
            "namespace": "servers",
            "redis": {"url": redis_url, "deadline": "2s"},
            "log": {"poll": "100ms", "confirm_wait": "2s"},
            "routes": [
                {"name": "pages", "path": "/pages/{id}", "ttl": "1h", "tags": ["page:{id}"]}
            ],
        }
    )
    cache.start()
    until(lambda: cache.log.live, LIMIT)
    try:
        yield cache
    finally:
        cache.close()
