"""What one machine knows of flags by itself, with Redis up or down: two files, and one thread.

- **The local file** is an operator's. It is TOML: `low = "off"`, `"route:products" = "off"`, by the
  names and states of `cachemw flags set`. What it says counts in place of the live setting of the same
  flag. One that is missing says nothing; one that cannot be read, or has a mistake anywhere, changes
  nothing: what it said last stays in force, and that is told once.
- **The mirror** is ours: the live flags as this machine heard of them last, for processes that start
  while Redis is away. Processes share it, so an older revision never replaces a newer one. It names
  its namespace, for another fleet's flags must not become this one's. One that cannot be read counts
  as none.

Both are looked at when a cache is made and again when a process begins to serve, which a child of a
fork does later; then a daemon thread looks twice a second. No request waits for them after that.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from cachemw.config import Config
from cachemw.config.sources import parse_toml
from cachemw.errors import ConfigError, Problem
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.flags.live import FlagError, LiveFlags, changed_flags

__all__ = ["FlagFiles", "LocalFile", "Mirror", "make_flag_files", "read_flags"]

_EVERY = 0.5
"""Seconds between two looks: a change counts within a second, on a busy machine too."""
_LARGEST = 256 * 1024
"""Bytes: the flags of some thousand routes. What is larger was meant to be something else."""
_CLOSE_WAIT = 1.0
"""Seconds that closing waits for the thread: the file may be on a disk that hangs."""
_MODE = 0o644
"""Others may read the mirror: what restarts may run as somebody else than what wrote it."""


def read_flags(path: str, route_names: Sequence[str]) -> dict[str, object]:
    """Read a local file; one that is missing says nothing. Raises ConfigError with every mistake."""
    try:
        said = parse_toml(_contents(path), path)
        changed_flags(LiveFlags(), route_names, said)
    except FileNotFoundError:
        return {}
    except OSError as error:
        problem = Problem("", f"cannot be read: {error.strerror}")
        raise ConfigError([problem], path) from error
    except FlagError as error:
        raise ConfigError([Problem("", each) for each in error.mistakes], path) from error
    return said


def _contents(path: str) -> bytes:
    """Read a file of a sane size whole; raises OSError."""
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for whoever writes to it
        raise OSError(errno.EINVAL, "not a regular file")
    if found.st_size > _LARGEST:
        raise OSError(errno.EFBIG, f"larger than {_LARGEST // 1024} KiB")
    with open(path, "rb") as file:
        return file.read(_LARGEST)


class LocalFile:
    """The operator's file, and what was seen of it."""

    def __init__(
        self, path: str, flags: Flags, tell: Callable[[str, Sequence[str]], object]
    ) -> None:
        """Watch a path; `tell` hears of its mistakes, once for as long as they stay the same."""
        self._path = os.path.abspath(path)  # servers change their folder when they start
        self._flags = flags
        self._tell = tell
        self._seen: object = None
        self._mistakes: tuple[str, ...] = ()

    def look(self) -> None:
        """Let what the file says count, if it has changed since the last look."""
        before, self._seen = self._seen, _signature(self._path)
        if self._seen == before:
            return
        try:
            said = read_flags(self._path, self._flags.route_names)
        except ConfigError as error:
            self._refuse(error)
        else:
            self._mistakes = ()
            self._flags.override(said)

    def _refuse(self, error: ConfigError) -> None:
        if isinstance(error.__cause__, OSError):
            self._seen = None  # what hinders may go without a trace in the file: look at each time
        before, self._mistakes = self._mistakes, tuple(str(each) for each in error.problems)
        if self._mistakes != before:
            self._tell(self._path, self._mistakes)


def _signature(path: str) -> object:
    """Give what changes with a file's contents."""
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


class _MirrorDocument(msgspec.Struct, frozen=True):
    """What a mirror holds."""

    namespace: str
    flags: LiveFlags


class Mirror:
    """The live flags of one namespace, kept on this machine."""

    def __init__(
        self, path: str, namespace: str, flags: Flags, count: Callable[[str, str], object]
    ) -> None:
        self._path = os.path.abspath(path)
        self._namespace = namespace
        self._flags = flags
        self._count = count
        self._kept = 0
        """The newest revision that is known to be in it."""

    def take_over(self) -> None:
        """Let the flags have what is kept, if they know nothing newer."""
        kept = self._read()
        self._kept = 0 if kept is None else kept.revision
        if kept is not None:
            self._flags.receive(msgspec.json.encode(kept))

    def keep(self) -> None:
        """Write the live flags, if they are newer than what is there; a failure is counted."""
        live = self._flags.live
        if live.revision <= self._kept:
            return
        try:
            there = self._read()
            if there is None or there.revision < live.revision:
                _replace(self._path, msgspec.json.encode(_MirrorDocument(self._namespace, live)))
        except OSError:  # the next look tries again
            self._count("store_error", "flags_mirror")
        else:
            self._kept = live.revision

    def _read(self) -> LiveFlags | None:
        try:
            mirrored = msgspec.json.decode(_contents(self._path), type=_MirrorDocument)
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None
        return mirrored.flags if mirrored.namespace == self._namespace else None


def _replace(path: str, data: bytes) -> None:
    """Replace a file as a whole: whoever reads it finds the one or the other."""
    descriptor, temporary = tempfile.mkstemp(
        dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}."
    )
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, _MODE)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


class FlagFiles:
    """The files of this machine that a process has been told of, and the thread that looks at them."""

    def __init__(
        self, local: LocalFile | None, mirror: Mirror | None, failed: Callable[[str], object]
    ) -> None:
        """Look at both; `failed` hears of faults of our own, while they are being handled."""
        self._first = [mirror.take_over] if mirror else []
        self._again = [local.look] if local else []
        self._last = [mirror.keep] if mirror else []
        self._failed = failed
        self.reset_after_fork()
        self._call(self._first + self._again)

    def reset_after_fork(self) -> None:
        """Forget the parent's thread."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Look, and go on looking in the background, once per process."""
        if self._thread is not None or not (self._again or self._last):
            return
        if self._lock.acquire(blocking=False):  # whoever finds it being started goes on
            try:
                if self._thread is None:
                    self._call(self._first + self._again)
                    self._stopping = threading.Event()
                    thread = threading.Thread(
                        target=self._run, args=(self._stopping,), name="cachemw-flags", daemon=True
                    )
                    thread.start()
                    self._thread = thread
            finally:
                self._lock.release()

    def close(self) -> None:
        """Stop looking, and keep what has still to be kept; can start again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        thread.join(_CLOSE_WAIT)
        if not thread.is_alive():
            self._call(self._last)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(_EVERY):
            self._call(self._again + self._last)

    def _call(self, looks: list[Callable[[], None]]) -> None:
        for look in looks:
            try:
                look()
            except Exception:  # nothing may end the thread, or a request, for the sake of a file
                self._failed("flags_files_failed")


def make_flag_files(
    config: Config,
    flags: Flags,
    *,
    refused: Callable[[str, Sequence[str]], object],
    count: Callable[[str, str], object],
    failed: Callable[[str], object],
) -> FlagFiles:
    """Give the files that a configuration names; `refused` hears of a local file with mistakes."""
    local = mirror = None
    if config.flags_file is not None:
        local = LocalFile(config.flags_file, flags, refused)
    if config.flags_mirror is not None:
        mirror = Mirror(config.flags_mirror, config.namespace, flags, count)
    return FlagFiles(local, mirror, failed)
