"""Servers of PostgreSQL and MariaDB, with data of their own, on ports that the kernel chooses.

They need the programs of the packages `postgresql` and `mariadb-server`. As root they are started for the
users `postgres` and `mysql`, because the programs refuse to run as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["Query", "mariadb", "postgresql"]

Query = Callable[[str, str], list[str]]
"""Runs a statement in a database; returns the rows, their columns separated by tabs."""


def find_program(name: str) -> str | None:
    """Return the path of a program; also of one that Debian keeps out of the path."""
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))[::-1]
    return shutil.which(name, path=os.pathsep.join((*folders, os.environ["PATH"], "/usr/sbin")))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(user: str, *command: str) -> str:
    done = subprocess.run(
        command, user=_user(user), check=True, capture_output=True, text=True, cwd="/"
    )
    return done.stdout


def _user(name: str) -> int | None:
    return pwd.getpwnam(name).pw_uid if os.geteuid() == 0 else None


@contextmanager
def _folder(user: str) -> Iterator[Path]:
    with TemporaryDirectory(prefix="functions-") as name:
        if os.geteuid() == 0:
            os.chown(name, pwd.getpwnam(user).pw_uid, -1)
        yield Path(name)


@contextmanager
def postgresql() -> Iterator[Query]:
    """Run a server of PostgreSQL; yield what queries it."""
    control = find_program("pg_ctl") or "pg_ctl"
    initialise = find_program("initdb") or "initdb"
    with _folder("postgres") as folder:
        data, port = str(folder / "data"), str(_free_port())
        _run("postgres", initialise, "-A", "trust", "-U", "postgres", "-D", data)
        options = f"-p {port} -k {folder} -c listen_addresses= -c fsync=off"
        log = str(folder / "log")
        _run("postgres", control, "-w", "-D", data, "-o", options, "-l", log, "start")
        try:
            yield lambda database, sql: _run(
                "postgres", "psql", "-h", str(folder), "-p", port, "-U", "postgres",
                "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql,
            ).splitlines()  # fmt: skip
        finally:
            _run("postgres", control, "-w", "-m", "immediate", "-D", data, "stop")


@contextmanager
def mariadb() -> Iterator[Query]:
    """Run a server of MariaDB; yield what queries it."""
    server = find_program("mariadbd") or "mariadbd"
    with _folder("mysql") as folder:
        data, at = str(folder / "data"), str(folder / "s")
        _run(
            "mysql", "mariadb-install-db", "--no-defaults", f"--datadir={data}",
            "--auth-root-authentication-method=normal",
        )  # fmt: skip
        process = subprocess.Popen(
            [server, "--no-defaults", f"--datadir={data}", "--skip-networking", f"--socket={at}"],
            user=_user("mysql"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        try:
            client = ("mariadb", "--no-defaults", "-S", at, "-u", "root", "-N", "-B")
            for _ in range(120):
                if subprocess.run([*client, "-e", "SELECT 1"], capture_output=True).returncode == 0:
                    break
                time.sleep(0.25)
            yield lambda database, sql: _run("mysql", *client, "-e", sql, database).splitlines()
        finally:
            process.terminate()
            process.wait(30)
