"""The two files of flags that one machine has, and the thread that reads and writes them.

They work while Redis is down.

- **The local file** belongs to an operator. It is TOML with the names and states of `cachemw flags set`:
  `low = "off"`, `"route:products" = "off"`. A setting in it replaces the live setting of the same flag.
  A missing file has no settings. A file that cannot be read or has a mistake changes nothing: its last
  valid settings stay, and the mistakes are logged once.
- **The mirror** belongs to cachemw. It holds the newest live flags this machine has received, for
  processes that start while Redis is away: what was turned off stays off (I6). The processes of a machine
  share it, so an older revision never replaces a newer one. It names its namespace, because another
  application's flags must not be used here. A mirror that cannot be read counts as missing.

Both are read when a cache is made, and again when the process begins to serve, which in a forked worker
is later. After that a daemon thread looks at them twice a second. No request waits for them.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from cachemw.config import Config
from cachemw.config.sources import parse_toml
from cachemw.engine.model.outcomes import EventName
from cachemw.errors import ConfigError, Problem
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.flags.live import FlagError, LiveFlags, changed_flags

__all__ = ["FlagFiles", "LocalFile", "Mirror", "make_flag_files", "read_flags"]

_EVERY: Final = 0.5
"""Seconds between two looks: a change applies within a second (I6), on a busy machine too."""
_MAX_SIZE: Final = 256 * 1024
"""Most bytes of a file, enough for the flags of some thousand routes. A larger file is a mistake."""
_CLOSE_WAIT: Final = 1.0
"""Seconds that closing waits for the thread: the files may be on a disk that hangs."""
_MODE: Final = 0o644
"""Everybody may read the mirror: the next process may run as another user than the one that wrote it."""


def read_flags(path: str, route_names: Sequence[str]) -> dict[str, object]:
    """Return the settings of a local file, none if it is missing; raise ConfigError with every mistake."""
    try:
        settings = parse_toml(_contents(path), path)
        changed_flags(LiveFlags(), route_names, settings)  # a dry run that finds the mistakes
    except FileNotFoundError:
        return {}
    except OSError as error:
        problem = Problem("", f"cannot be read: {error.strerror}")
        raise ConfigError([problem], path) from error
    except FlagError as error:
        raise ConfigError([Problem("", each) for each in error.mistakes], path) from error
    return settings


def _contents(path: str) -> bytes:
    """Return the bytes of a regular file of at most _MAX_SIZE; raise OSError for any other."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
        raise OSError(errno.EINVAL, "not a regular file")
    if status.st_size > _MAX_SIZE:
        raise OSError(errno.EFBIG, f"larger than {_MAX_SIZE // 1024} KiB")
    with open(path, "rb") as file:
        return file.read(_MAX_SIZE)


class LocalFile:
    """The operator's file, as it was at the last look."""

    def __init__(
        self, path: str, flags: Flags, refused: Callable[[str, Sequence[str]], object]
    ) -> None:
        """Watch a path; `refused` is called with path and mistakes, once while they stay the same."""
        self._path = os.path.abspath(
            path
        )  # servers may change their working directory when they start
        self._flags = flags
        self._refused = refused
        self._seen: object = None
        self._mistakes: tuple[str, ...] = ()

    def look(self) -> None:
        """Apply the file, if it has changed since the last look."""
        before, self._seen = self._seen, _signature(self._path)
        if self._seen == before:
            return
        try:
            settings = read_flags(self._path, self._flags.route_names)
        except ConfigError as error:
            self._refuse(error)
        else:
            self._mistakes = ()
            self._flags.override(settings)

    def _refuse(self, error: ConfigError) -> None:
        if isinstance(error.__cause__, OSError):
            self._seen = (
                None  # a permission may be repaired without a change of the file: always look again
            )
        before, self._mistakes = self._mistakes, tuple(str(each) for each in error.problems)
        if self._mistakes != before:
            self._refused(self._path, self._mistakes)


def _signature(path: str) -> object:
    """Return a value that changes when the file's contents change."""
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino


class _MirrorDocument(msgspec.Struct, frozen=True):
    """The contents of a mirror."""

    namespace: str
    flags: LiveFlags


class Mirror:
    """The live flags of one namespace, kept on this machine."""

    def __init__(
        self, path: str, namespace: str, flags: Flags, count: Callable[[EventName, str], object]
    ) -> None:
        """Mirror `flags` in the file `path`; `count` counts a failed write."""
        self._path = os.path.abspath(path)
        self._namespace = namespace
        self._flags = flags
        self._count = count
        self._saved = 0
        """The newest revision that is known to be in the file."""

    def load(self) -> None:
        """Pass the file's live flags on, which are used if they are newer."""
        saved = self._read()
        self._saved = 0 if saved is None else saved.revision
        if saved is not None:
            self._flags.receive(msgspec.json.encode(saved))

    def save(self) -> None:
        """Write the live flags, if they are newer than those in the file; count a failure."""
        live = self._flags.live
        if live.revision <= self._saved:
            return
        try:
            saved = self._read()
            if saved is None or saved.revision < live.revision:
                _replace(self._path, msgspec.json.encode(_MirrorDocument(self._namespace, live)))
        except OSError:  # the next look tries again
            self._count("store_error", "flags_mirror")
        else:
            self._saved = live.revision

    def _read(self) -> LiveFlags | None:
        try:
            mirrored = msgspec.json.decode(_contents(self._path), type=_MirrorDocument)
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None
        return mirrored.flags if mirrored.namespace == self._namespace else None


def _replace(path: str, data: bytes) -> None:
    """Replace a file in one step: a reader finds the old contents or the new ones, never a part."""
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
    """The files of one process's configuration, and the thread that looks at them."""

    def __init__(
        self, local: LocalFile | None, mirror: Mirror | None, failed: Callable[[str], object]
    ) -> None:
        """Look at both; `failed` is called by name with an internal error, inside its `except`."""
        self._first = [mirror.load] if mirror else []
        self._again = [local.look] if local else []
        self._last = [mirror.save] if mirror else []
        self._failed = failed
        self.reset_after_fork()
        self._call(self._first + self._again)

    def reset_after_fork(self) -> None:
        """Drop the parent's thread and its lock."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Look at the files, and start the thread, once per process."""
        if self._thread is not None or not (self._again or self._last):
            return
        if self._lock.acquire(blocking=False):  # another thread is starting it: do not wait
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
        """Stop the thread, and save the live flags a last time. `start` may be called again."""
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
            except Exception:  # a file must not end the thread or a request (I3)
                self._failed("flags_files_failed")


def make_flag_files(
    config: Config,
    flags: Flags,
    *,
    refused: Callable[[str, Sequence[str]], object],
    count: Callable[[EventName, str], object],
    failed: Callable[[str], object],
) -> FlagFiles:
    """Return the files that a configuration names; `refused` reports a local file with mistakes."""
    local = mirror = None
    if config.flags_file is not None:
        local = LocalFile(config.flags_file, flags, refused)
    if config.flags_mirror is not None:
        mirror = Mirror(config.flags_mirror, config.namespace, flags, count)
    return FlagFiles(local, mirror, failed)
