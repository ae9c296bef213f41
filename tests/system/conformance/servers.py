"""The caches under test, each a process between the client and the suite's server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DOORS", "PEERS", "ended", "found", "served"]

HOST = "127.0.0.1"
HERE = Path(__file__).parent
START_SECONDS = 20.0
STOP_SECONDS = 10.0


def uvicorn(home: Path, origin: int, port: int) -> list[str]:
    # Date and Server are the origin's to say: uvicorn would write its own in front of them.
    return [
        *(sys.executable, "-m", "uvicorn", "proxies:asgi_app", "--app-dir", str(HERE)),
        *("--host", HOST, "--port", str(port), "--lifespan", "off"),
        *("--no-access-log", "--log-level", "warning", "--no-date-header", "--no-server-header"),
    ]


def gunicorn(home: Path, origin: int, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "proxies:wsgi_app", "--pythonpath", str(HERE)),
        *("--worker-class", "gthread", "--workers", "1", "--threads", "16"),
        *("--bind", f"{HOST}:{port}", "--worker-tmp-dir", str(home), "--log-level", "warning"),
    ]


def nginx(home: Path, origin: int, port: int) -> list[str]:
    """Cache as the suite's published results do; a stale answer stands in for a broken origin."""
    temporary = "\n".join(
        f"  {kind}_temp_path {home}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not reach the folder
    (home / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {home}/nginx.pid; {user}
events {{ worker_connections 512; }}
http {{
  access_log off;
{temporary}
  proxy_cache_path {home}/cache levels=1:2 keys_zone=suite:8m;
  server {{
    listen {HOST}:{port};
    location / {{
      proxy_pass http://{HOST}:{origin};
      proxy_cache suite;
      proxy_cache_revalidate on;
      proxy_cache_use_stale error timeout http_500 http_502 http_503 http_504;
    }}
  }}
}}
"""
    )
    return [found("nginx"), "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr"]


def varnish(home: Path, origin: int, port: int) -> list[str]:
    """Cache as the suite's published results do."""
    vcl = home / "suite.vcl"
    vcl.write_text(f'vcl 4.1;\nbackend default {{ .host = "{HOST}"; .port = "{origin}"; }}\n')
    return [
        *(found("varnishd"), "-F", "-j", "none", "-n", str(home / "varnish")),
        *("-a", f"{HOST}:{port}", "-f", str(vcl), "-s", "malloc,64m"),
        *("-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600"),
    ]


Command = Callable[[Path, int, int], list[str]]
"""Gives a command line for a folder of its own, the origin's port and the port to listen on."""

DOORS: Mapping[str, Command] = {"asgi": uvicorn, "wsgi": gunicorn}
PEERS: Mapping[str, tuple[str, Command]] = {
    "nginx": ("nginx", nginx),
    "varnish": ("varnishd", varnish),
}
"""What is measured beside them: the program that must be there, and its command line."""


def found(name: str) -> str:
    """Give the path of a command, also where only an administrator's search path has it, or ''."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


@contextmanager
def served(command: Command, home: Path, origin: int) -> Iterator[str]:
    """Run a cache until the block ends; give its URL once it accepts connections."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    home.mkdir()
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(home, origin, port),
            cwd=home,
            env={**os.environ, "ORIGIN_PORT": str(origin)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with ended(process):
        _await(process, port, log)
        yield f"http://{HOST}:{port}"


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process with the block: politely, then by force."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"a cache did not start: {log.read_text(errors='replace')[-2000:]}")
