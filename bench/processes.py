"""Servers to measure, such as uvicorn and nginx, on ports that the kernel chooses."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = [
    "HOST",
    "ServerError",
    "answer",
    "find_command",
    "free_port",
    "granian",
    "nginx",
    "server",
    "uvicorn",
    "varnish",
    "wrk",
]

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]
START_SECONDS = 20.0
STOP_SECONDS = 10.0
CONNECTIONS = 32
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
_FAULT = re.compile(r"^\s*(Non-2xx.*|Socket errors.*)$", re.MULTILINE)


class ServerError(Exception):
    """A server that did not start, or did not answer as it should."""


def free_port() -> int:
    """Return a port that is free now; another program may take it before the server does."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(command: Sequence[str], port: int, url: str, log: Path) -> Iterator[None]:
    """Run a server until the block ends, which begins when it answers; raises ServerError."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(process, command, port, url, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(
    process: subprocess.Popen[bytes], command: Sequence[str], port: int, url: str, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer(port, url)
            return
        time.sleep(0.02)
    output_end = log.read_text(errors="replace")[-500:]
    raise ServerError(f"{' '.join(command[:4])} did not start: {output_end}")


def answer(port: int, url: str) -> dict[str, str]:
    """Request a URL and return the response's headers, names in lower case; raises ServerError."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", url)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise ServerError(f"port {port} answered {response.status}")
        return {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def wrk(port: int, url: str, seconds: int) -> float:
    """Load a server over 32 connections from one thread; return the requests per second."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://{HOST}:{port}{url}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if fault := _FAULT.search(done.stdout):
        raise ServerError(f"wrk saw failures on port {port}: {fault[1]}")
    rate = _RATE.search(done.stdout)
    if rate is None:
        raise ServerError(f"wrk printed no rate: {done.stdout}")
    return float(rate[1])


def uvicorn(app: str, port: int) -> list[str]:
    """Return the command for one uvicorn worker."""
    return [
        *(sys.executable, "-m", "uvicorn", app, "--host", HOST, "--port", str(port)),
        *("--lifespan", "off", "--no-access-log", "--log-level", "warning"),
    ]


def granian(app: str, port: int) -> list[str]:
    """Return the command for one granian worker."""
    return [
        *(sys.executable, "-m", "granian", app, "--host", HOST, "--port", str(port)),
        *("--interface", "asginl", "--workers", "1", "--no-access-log", "--log-level", "warning"),
    ]


def nginx(home: Path, origin: int, port: int) -> list[str]:
    """Write a configuration that caches the responses of an origin; return the command."""
    temporary = "\n".join(
        f"  {kind}_temp_path {home}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = (
        "user root;" if os.geteuid() == 0 else ""
    )  # without it, the worker could not read the directory
    (home / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log; {user}
events {{ worker_connections 256; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
{temporary}
  proxy_cache_path {home}/cache keys_zone=bench:10m;
  server {{
    listen {HOST}:{port};
    location / {{
      proxy_pass http://{HOST}:{origin};
      proxy_cache bench;
      add_header x-cache $upstream_cache_status;
    }}
  }}
}}
"""
    )
    return [find_command("nginx"), "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr"]


def varnish(home: Path, origin: int, port: int) -> list[str]:
    """Write a configuration with one backend; return the command."""
    vcl = home / "bench.vcl"
    vcl.write_text(f'vcl 4.1;\nbackend default {{ .host = "{HOST}"; .port = "{origin}"; }}\n')
    return [
        *(find_command("varnishd"), "-F", "-j", "none", "-n", str(home / "varnish")),
        *("-a", f"{HOST}:{port}", "-f", str(vcl), "-s", "malloc,64m", "-p", "thread_pools=1"),
    ]


def find_command(name: str) -> str:
    """Return the path of a command, or ''; also search where only administrators' paths lead."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""
