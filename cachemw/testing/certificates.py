"""A certificate for servers on this machine, made by the program `openssl`."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["certificate"]

_SECONDS = 30.0
"""How long `openssl` may take. It takes about 20 ms, but far longer on a busy machine."""


@cache
def certificate() -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1 and localhost, and of its key.

    It signs itself, so clients trust it by the same file. It is made once per process, is valid for two
    days, and its folder is removed at the end. Raises FileNotFoundError where there is no `openssl`.
    """
    program = shutil.which("openssl")
    if program is None:
        raise FileNotFoundError("a server with TLS needs a certificate: install openssl")
    folder = Path(tempfile.mkdtemp(prefix="cachemw-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    public, private = folder / "server.pem", folder / "server.key"
    command = [program, "req", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-out", str(public), "-keyout", str(private)]
    subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)  # noqa: S603
    return public, private
