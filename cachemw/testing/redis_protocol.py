"""The small part of the Redis protocol that tests need, so that they need no client library."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import BinaryIO

__all__ = ["Reply", "ReplyError", "call", "connect_tcp", "connect_tls", "connect_unix"]

Reply = bytes | int | None | list["Reply"]
"""A decoded reply: simple and bulk strings are bytes, the null reply is None."""


class ReplyError(Exception):
    """An error reply of the server."""


def connect_tcp(host: str, port: int, timeout: float) -> socket.socket:
    """Open a TCP connection; `timeout` seconds are the limit for connecting and for each read."""
    return socket.create_connection((host, port), timeout)


def connect_tls(host: str, port: int, timeout: float, trusted: Path) -> socket.socket:
    """Open a connection with TLS to a server whose certificate is in the file `trusted`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(trusted)
    connection = connect_tcp(host, port, timeout)
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except OSError:
        connection.close()
        raise


def connect_unix(path: str, timeout: float) -> socket.socket:
    """Open a unix socket; `timeout` seconds are the limit for connecting and for each read."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def call(connection: socket.socket, *args: str | bytes | int) -> Reply:
    """Send one command and return its reply.

    Raises ReplyError for an error reply, OSError when the server cannot be reached in time.
    """
    parts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    request = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    connection.sendall(b"*%d\r\n%b" % (len(parts), request))
    with connection.makefile("rb") as stream:
        return _read(stream)


def _read(stream: BinaryIO) -> Reply:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("the server closed the connection in the middle of a reply")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest
    if kind == b"-":
        raise ReplyError(rest.decode(errors="replace"))
    count = int(rest)
    if kind == b":":
        return count
    if count < 0:
        return None
    if kind == b"$":
        return stream.read(count + 2)[:-2]
    return [_read(stream) for _ in range(count)]
