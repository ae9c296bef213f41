"""PostgreSQL and MariaDB from the system's packages, each started for the tests and ended by them.

A server listens on a unix socket in a folder of its own, so no port can be taken. It writes nothing
through to the disk. Root starts it as the user that the package made for it: both refuse root.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import psycopg
import pymysql
import pymysql.constants.CLIENT

from tests.support.waiting import until

__all__ = ["MariaDB", "MissingServer", "PostgreSQL", "Server"]

START_SECONDS = 60.0
"""How long a start may take. It takes a second, but far longer on a busy machine."""
STOP_SECONDS = 10.0


class MissingServer(RuntimeError):  # it says what is the case
    """A server that is not installed; the message says what to install."""


class Server:
    """One server. As a context manager it runs until the end of the block."""

    user: ClassVar[str]
    """The system's user that runs it where root starts it."""
    socket_name: ClassVar[str]
    """The name of its socket in its folder."""
    stop_signal: ClassVar[signal.Signals]

    def __init__(self) -> None:
        # Not below pytest's folder, which other users may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="cachemw-"))
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        atexit.register(self.close)

    @property
    def path(self) -> str:
        """The path of its socket."""
        return str(self.folder / self.socket_name)

    def start(self) -> None:
        """Make an empty server and start it; return when it answers."""
        # First: without the programs there may be no user either.
        preparation, command = self.preparation(), self.command()
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user, self.user)
        for each in preparation:
            self._run(each)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **self._as()
            )
        until(self._answers, START_SECONDS)

    def close(self) -> None:
        """End the server, by its own process id, and remove its data."""
        if self._owner != os.getpid():
            return
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def preparation(self) -> list[Sequence[str]]:
        """Return the commands that make the server's folder of data."""
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        """Return the command that runs the server."""
        raise NotImplementedError

    def connect(self, database: str) -> Any:
        """Return a driver's connection, which commits each statement and takes several in a text."""
        raise NotImplementedError

    def create(self, database: str) -> None:
        """Make an empty database."""
        with contextlib.closing(self.connect(self.first)) as connection:
            connection.cursor().execute(f"CREATE DATABASE {database}")

    first: ClassVar[str]
    """A database that is there from the start."""

    def _as(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {"cwd": self.folder}
        user = pwd.getpwnam(self.user)
        return {"cwd": self.folder, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, **self._as())
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {(done.stdout + done.stderr).decode()}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(errors="replace")
        with socket.socket(socket.AF_UNIX) as probe:
            # First: what a driver leaves open when it is refused would be a warning.
            if probe.connect_ex(self.path):
                return False
        try:
            self.connect(self.first).close()
        except (psycopg.OperationalError, pymysql.err.OperationalError):
            return False
        return True


class PostgreSQL(Server):
    """A server of the newest PostgreSQL that is installed."""

    user = "postgres"
    socket_name = ".s.PGSQL.5432"
    first = "postgres"
    stop_signal = signal.SIGQUIT  # at once: nothing of it is kept

    def _program(self, name: str) -> str:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
        found = shutil.which(name, path=str(folders[-1])) if folders else shutil.which(name)
        if found is None:
            raise MissingServer("PostgreSQL is not installed: apt-get install postgresql")
        return found

    def preparation(self) -> list[Sequence[str]]:
        options = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8")
        return [(self._program("initdb"), "--no-sync", *options, f"--pgdata={self.folder}/data")]

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_prepared_transactions": "10",
            "shared_buffers": "32MB",
            # A way to commit that waits for a lock of its own test would hang: it fails.
            "lock_timeout": "10s",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return (self._program("postgres"), "-D", f"{self.folder}/data", *options)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.folder), user="postgres", dbname=database, autocommit=True
        )


class MariaDB(Server):
    """A server of the MariaDB that is installed."""

    user = "mysql"
    socket_name = "socket"
    first = "mysql"
    stop_signal = signal.SIGKILL  # an orderly end takes seconds, and nothing of it is kept

    def _program(self, *names: str) -> str:
        search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])
        for name in names:
            if found := shutil.which(name, path=search):
                return found
        raise MissingServer("MariaDB is not installed: apt-get install mariadb-server")

    def preparation(self) -> list[Sequence[str]]:
        program = self._program("mariadb-install-db", "mysql_install_db")
        options = ("--skip-test-db", "--auth-root-authentication-method=normal")
        return [(program, "--no-defaults", *options, f"--datadir={self.folder}/data")]

    def command(self) -> Sequence[str]:
        program = self._program("mariadbd", "mysqld")
        return (
            *(program, "--no-defaults", f"--datadir={self.folder}/data"),
            *("--skip-networking", f"--socket={self.path}", f"--pid-file={self.folder}/pid"),
            *("--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite"),
            *(
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=16M",
                "--lock-wait-timeout=10",
            ),
            "--character-set-server=utf8mb4",
        )

    def connect(self, database: str) -> pymysql.connections.Connection[Any]:
        return pymysql.connect(
            unix_socket=self.path,
            user="root",
            database=database,
            autocommit=True,
            client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())
