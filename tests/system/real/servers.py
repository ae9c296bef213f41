"""Start the servers under test on ports the kernel chose, and end what was started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

__all__ = ["HOST", "Server", "plain_headers", "serve"]

HOST = "real.test"
"""The Host of every request: answers that name their own address then do not name a port."""

READY_SECONDS = 60.0
STOP_SECONDS = 15.0

Command = Callable[[int], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers, and where its output goes."""

    url: str
    log: Path
    pid: int

    def client(self, **headers: str) -> httpx.Client:
        """Open a client with a cookie jar of its own, which does not follow redirects."""
        return httpx.Client(
            base_url=self.url,
            headers=plain_headers(headers),
            timeout=30.0,
            verify=False,  # Nothing is encrypted here, and reading certificates takes long.
        )


def plain_headers(more: Mapping[str, str]) -> dict[str, str]:
    """Ask for unencoded bodies from the one host name, so that two servers' bytes compare."""
    return {"Host": HOST, "Accept-Encoding": "identity", **more}


@contextmanager
def serve(
    command: Command, *, log: Path, ready: str, cwd: Path, env: Mapping[str, str]
) -> Iterator[Server]:
    """Run a server on an inherited listening socket until the block ends.

    `command` gets the socket's descriptor. The socket listens before the server starts, so the
    first request simply waits for it; a server that dies closes the socket and the request fails.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command(listener.fileno())),
            cwd=cwd,
            # One order of sets in all servers: Wagtail writes some into its pages.
            # What the cache remembers of its flags stays in the site's folder.
            env={**os.environ, "PYTHONHASHSEED": "0", "XDG_STATE_HOME": str(log.parent), **env},
            pass_fds=(listener.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        listener.close()
        try:
            server = Server(url=f"http://127.0.0.1:{port}", log=log, pid=process.pid)
            await_answer(server, ready)
            yield server
        finally:
            stop(process)


def await_answer(server: Server, path: str) -> None:
    """Wait for the first answer below 500; fail with the server's own output."""
    try:
        with httpx.Client(headers=plain_headers({}), timeout=READY_SECONDS) as client:
            answer = client.get(server.url + path)
        if answer.status_code < 500:
            return
        failure = f"answered {answer.status_code}"
    except httpx.TransportError as error:
        failure = repr(error)
    raise RuntimeError(f"{path} {failure}:\n{server.log.read_text(errors='replace')[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and its workers: politely, then by force."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)  # A worker that outlived its parent.
    except ProcessLookupError:
        return
