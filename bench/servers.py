"""Hits of whole servers under load, beside the bare application, Varnish and nginx.

Each server has one worker; wrk loads it over 32 connections with one URL that every cache has. The
figures are ratios of requests per second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from bench import processes
from bench.constants import URLS
from bench.effort import Effort
from bench.processes import ServerError, answer, find_command, free_port, wrk
from bench.rows import Row, at_least, note, skipped
from bench.timing import Subject, interleave, ratio, spread

__all__ = ["servers"]

WANTED = {"uvicorn": 0.80, "granian": 0.85}
"""Share of the bare application's requests per second."""
OF_OTHERS = 0.60
"""Share of Varnish's and nginx's requests per second."""
_URL = URLS[0]
_COMMANDS = {"uvicorn": processes.uvicorn, "granian": processes.granian}
_PROXIES = {"varnish": ("varnishd", processes.varnish), "nginx": ("nginx", processes.nginx)}
_START_ATTEMPTS = 3
"""Attempts to start a server: another program may take its port before it does."""


def servers(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    if not find_command("wrk"):
        yield skipped("servers under load", "install wrk")
        return
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="cachemw-bench-") as directory:
        ports, missing = _start(stack, Path(directory))
        seconds = effort.server_seconds
        subjects = [
            Subject(name, partial(wrk, port, _URL, seconds)) for name, port in ports.items()
        ]
        rates = interleave(subjects, effort.server_rounds, warmups=1)
        stack.close()
    yield from _against_bare(rates, missing)
    yield from _against_others(rates, missing)


def _start(stack: ExitStack, home: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Start the installed servers; return their ports, and why the others are missing, by name."""
    ports: dict[str, int] = {}
    missing: dict[str, str] = {}
    for name, command in _COMMANDS.items():
        if find_spec(name) is None:
            missing[name] = f"install {name}"
            continue
        for app in ("bare", "cached"):
            ports[f"{name} {app}"] = _start_one(
                stack, partial(command, f"bench.served:{app}"), home
            )
        _check_hit(ports[f"{name} cached"], "cache-status", "; hit;")
    origin = ports.get("granian bare") or ports.get("uvicorn bare")
    for name, (program, make) in _PROXIES.items():
        if not find_command(program) or origin is None:
            missing[name] = f"install {name}"
            continue
        own = home / name
        own.mkdir()
        ports[name] = _start_one(stack, partial(make, own, origin), home)
        _check_hit(ports[name], *{"varnish": ("x-varnish", " "), "nginx": ("x-cache", "HIT")}[name])
    return ports, missing


def _start_one(stack: ExitStack, command: Callable[[int], Sequence[str]], home: Path) -> int:
    """Start one server on a free port, and return the port."""
    for left in reversed(range(_START_ATTEMPTS)):
        port = free_port()
        log = home / f"{port}.log"
        try:
            stack.enter_context(processes.server(command(port), port, _URL, log))
        except ServerError:
            if not left:
                raise
        else:
            return port
    raise AssertionError("unreachable")


def _check_hit(port: int, header: str, word: str) -> None:
    answer(port, _URL)
    headers = answer(port, _URL)
    if word not in headers.get(header, ""):
        raise ServerError(f"port {port}: the second request was no hit: {headers}")


def _against_bare(rates: dict[str, list[float]], missing: dict[str, str]) -> Iterator[Row]:
    for name, wanted in WANTED.items():
        what = f"hits of one {name} worker, wrk with 32 connections, against the bare application"
        if name in missing:
            yield skipped(what, missing[name])
            continue
        cached, bare = rates[f"{name} cached"], rates[f"{name} bare"]
        yield at_least(
            what,
            ratio(cached, bare),
            wanted * 100,
            unit=" %",
            scale=100,
            digits=0,
            beside=f"{_per_second(cached)} of {_per_second(bare)} requests/s",
        )


def _against_others(rates: dict[str, list[float]], missing: dict[str, str]) -> Iterator[Row]:
    for name in _PROXIES:
        what = f"hits of one granian worker, against {name}'s"
        if name in missing or "granian" in missing:
            yield skipped(what, missing.get(name) or missing["granian"])
            continue
        ours, others = rates["granian cached"], rates[name]
        yield at_least(
            what,
            ratio(ours, others),
            OF_OTHERS * 100,
            unit=" %",
            scale=100,
            digits=0,
            beside=f"{_per_second(ours)} of {_per_second(others)} requests/s",
        )
        if "granian bare" in rates:
            yield note(
                f"for comparison: the bare application on granian, against {name}'s hits",
                ratio(rates["granian bare"], others),
                unit=" %",
                scale=100,
                digits=0,
            )


def _per_second(rates: list[float]) -> str:
    return f"{spread(rates).median:,.0f}"
