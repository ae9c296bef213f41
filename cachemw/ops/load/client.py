"""A small HTTP/1.1 client over keep-alive connections.

It runs on the same processor cores as the server that it measures, so it must cost little; a full
HTTP client would slow the server down and change the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Final, NamedTuple

__all__ = ["Connection", "Pool", "Reply", "RequestError"]

TIMEOUT: Final = 10.0
"""Seconds after which a request without an answer counts as failed."""


class RequestError(Exception):
    """A request that got no complete answer."""


class Reply(NamedTuple):
    """A response. Header names are in lower case; of a repeated header the last is kept."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One keep-alive connection, for one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._host = f"{host}:{port}".encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Send a request and return its answer; raises RequestError.

        A server may close an idle connection at any time. If it did so before the first byte of the
        answer, the request is sent once more on a new connection, as every client does.
        """
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method.encode(), path.encode(), self._host)
        if body:
            head += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        message = head + b"\r\n" + body
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._exchange(message, reused=self._streams is not None)
        except (OSError, ValueError, EOFError, TimeoutError) as error:
            self.close()
            raise RequestError(f"{method} {path}: {error!r}") from error
        except BaseException:
            self.close()
            raise

    async def _exchange(self, message: bytes, *, reused: bool) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        try:
            writer.write(message)
            first = await reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            unanswered = not getattr(error, "partial", b"")
            if not (reused and unanswered):
                raise
            self.close()
            return await self._exchange(message, reused=False)
        reply = await _read_reply(first, reader)
        if reply.headers.get("connection", "").lower() == "close":
            self.close()
        return reply

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_reply(head: bytes, reader: asyncio.StreamReader) -> Reply:
    status_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(int(status_line.split(" ", 2)[1]), headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return bytes(body)


class Pool:
    """Keep-alive connections, grouped by the worker process that accepted them."""

    def __init__(self, workers: int) -> None:
        self._idle: list[asyncio.LifoQueue[Connection]] = [
            asyncio.LifoQueue() for _ in range(workers)
        ]
        self._all: list[Connection] = []
        self.processes: tuple[int, ...] = ()
        """The ids of the worker processes, in the order of their numbers; empty before `open`."""

    @property
    def workers(self) -> int:
        """The number of worker processes."""
        return len(self._idle)

    async def open(self, host: str, port: int, *, each: int, within: float) -> None:
        """Open `each` connections to every process; raises RequestError after `within` seconds.

        The kernel chooses which process accepts a connection. So each new connection asks
        `/healthcheck` for the process, and is closed again if that process has enough of them.
        """
        by_process: dict[int, list[Connection]] = {}
        failure = "the server did not answer"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while sum(map(len, by_process.values())) < each * self.workers:
                    try:
                        await self._open_one(Connection(host, port), by_process, each)
                    except RequestError as error:  # the server may not listen yet
                        failure = str(error)
                        await asyncio.sleep(0.05)
        if len(by_process) != self.workers:
            raise RequestError(f"{len(by_process)} of {self.workers} processes answer: {failure}")
        self.processes = tuple(sorted(by_process))
        for idle, process in zip(self._idle, self.processes, strict=True):
            for connection in by_process[process]:
                idle.put_nowait(connection)

    async def _open_one(
        self, connection: Connection, by_process: dict[int, list[Connection]], each: int
    ) -> None:
        self._all.append(connection)
        reply = await connection.request("GET", "/healthcheck")
        if reply.status != 200:
            raise RequestError(f"/healthcheck: status {reply.status}")
        connections = by_process.setdefault(json.loads(reply.body)["worker"], [])
        if len(connections) < each:
            connections.append(connection)
        else:
            connection.close()
            self._all.remove(connection)
            await asyncio.sleep(0.002)  # so that another process can accept the next one

    async def request(self, worker: int, method: str, path: str, body: bytes = b"") -> Reply:
        """Send a request to one process as soon as a connection to it is free; raises RequestError."""
        idle = self._idle[worker]
        connection = await idle.get()
        try:
            return await connection.request(method, path, body)
        finally:
            idle.put_nowait(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._all:
            with contextlib.suppress(RuntimeError):  # raised if the event loop is already closed
                connection.close()
