"""The two files of flags that one machine has, and the thread that reads and writes them.

They work while Redis is down.

- **The local file** belongs to an operator. It is TOML with the names and states of `cachemw flags set`:
  `low = "off"`, `"route:products" = "off"`. A setting in it replaces the live setting of the same flag.
  A missing file has no settings. A file that cannot be read or has a mistake changes nothing: its last
  valid settings stay, and the mistakes are logged once.
- **The mirror** belongs to cachemw. It holds the newest live flags this machine has received, for
  processes that start while Redis is away or has lost its data: what was turned off stays off (I6). The
  processes of a machine share it, so an older revision never replaces a newer one. It names its namespace,
  because another application's flags must not be used here. A mirror that cannot be read counts as
  missing. Besides the live flags it holds what was set while Redis was away and is still to be published,
  and what this process remembers of the rollout.

**Age.** The mirror says when Redis last agreed with it, and is written again from time to time while it
does. A mirror of any age may turn off what the configuration turns on. Only a young one is knowledge, and
may turn on: since an old one was written, somebody may have turned off what it turns on.

Both are read when a cache is made, and again when the process begins to serve, which in a forked worker
is later. After that a daemon thread looks at them twice a second. No request waits for them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from cachemw.config.sources import parse_toml
from cachemw.engine.model.outcomes import EventName
from cachemw.errors import ConfigError, Problem
from cachemw.process.threads import Daemon, StopSignal
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.flags.lineage import are_apart, includes
from cachemw.rollout.flags.live import FlagError, LiveFlags, changed_flags

__all__ = [
    "FlagFiles",
    "LocalFile",
    "Mirror",
    "MirrorAge",
    "Remembered",
    "default_path",
    "read_flags",
]

_EVERY: Final = 0.5
"""Seconds between two looks: a change applies within a second (I6), on a busy machine too."""
_MAX_SIZE: Final = 256 * 1024
"""Most bytes of a file, enough for the flags of some thousand routes. A larger file is a mistake."""
_MODE: Final = 0o644
"""Everybody may read the mirror: the next process may run as another user than the one that wrote it."""
_RENEWALS: Final = 24
"""How often a mirror is written again within its greatest age, while Redis agrees with it."""
_FUTURE: Final = 60.0
"""Seconds that a mirror may be ahead of the clock, which may have been set back a little."""


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


def default_path(namespace: str, redis: str, environ: Mapping[str, str]) -> str:
    """Return the path of the mirror in the user's state folder; raise OSError if there is none.

    `redis` is the address of Redis: two sites with the same namespace share no file.
    """
    home = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # the specification says to ignore a relative one
        home = os.path.expanduser("~/.local/state")
    if not os.path.isabs(home):
        raise OSError(errno.ENOENT, "this user has no home folder")
    address = hashlib.sha256(redis.encode()).hexdigest()[:16]
    return os.path.join(home, "cachemw", f"{namespace}-{address}.json")


class Remembered(Protocol):
    """The memory of a process besides the flags, as a document in JSON."""

    def newest(self, stored: bytes) -> bytes:
        """Return the newer of a stored document and what this process remembers."""

    def restore(self, stored: bytes, *, young: bool) -> None:
        """Remember a stored document, if it is newer."""


class _MirrorDocument(msgspec.Struct, frozen=True):
    """The contents of a mirror."""

    namespace: str
    flags: LiveFlags
    heard: float = 0.0
    """When Redis last agreed, in seconds since the epoch."""
    pending: dict[str, str] = {}
    """Settings made while Redis was away."""
    rollout: msgspec.Raw = msgspec.Raw(b"null")
    apart: LiveFlags | None = None
    """Flags that a process of this machine knows, and that were written without knowledge of `flags`."""


class MirrorAge(msgspec.Struct, frozen=True):
    """How old a mirror is, and may be."""

    heard: Callable[[], float | None] = lambda: None
    """Returns when Redis was last heard, in seconds since the epoch; None: never."""
    limit: float = 86400.0
    """Seconds up to which a mirror is young."""
    now: Callable[[], float] = time.time

    def is_young(self, heard: float) -> bool:
        """Tell whether a mirror that Redis agreed with at this time is young."""
        return -_FUTURE <= self.now() - heard <= self.limit


class Mirror:
    """The live flags of one namespace, kept on this machine."""

    def __init__(
        self,
        path: str,
        namespace: str,
        flags: Flags,
        count: Callable[[EventName, str], object],
        *,
        failed: Callable[[str, str], object] = lambda path, error: None,
        age: MirrorAge | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        """Mirror `flags` in the file `path`.

        `count` counts each failed write; `failed` is called with path and error, once while the error
        stays the same.
        """
        self._path = os.path.abspath(path)
        self._namespace = namespace
        self._flags = flags
        self._count = count
        self._failed = failed
        self._age = age or MirrorAge()
        self._remembered = remembered
        self._failure = ""
        self._saved: _MirrorDocument | None = None
        """What is known to be in the file."""

    def load(self) -> None:
        """Pass on what the file holds, which is used if it is newer."""
        saved = self._saved = self._read()
        if saved is None:
            return
        young = self._age.is_young(saved.heard)
        self._flags.restore(saved.flags, saved.pending, young=young)
        if saved.apart is not None:
            self._flags.restore(saved.apart, young=young)
        if self._remembered is not None:
            self._remembered.restore(bytes(saved.rollout), young=young)

    def save(self) -> None:
        """Write what this process knows, if it is newer than the file; report a failure."""
        if not self._differs(self._saved):
            return
        try:
            saved = self._read()
            self._learn(saved)
            merged = self._merged(saved)
            if merged is not None and self._differs(saved):
                _replace(self._path, msgspec.json.encode(merged))
        except OSError as error:  # the next look tries again
            self._fail(error.strerror or type(error).__name__)
        else:
            self._saved, self._failure = merged, ""

    def _learn(self, saved: _MirrorDocument | None) -> None:
        """Take over what another process of this machine knew, and nobody has told this one."""
        if saved is None:
            return
        for each in filter(None, (saved.flags, saved.apart)):
            if are_apart(each, self._flags.published):
                self._flags.restore(each, young=self._age.is_young(saved.heard))

    def _fail(self, failure: str) -> None:
        self._count("store_error", "flags_mirror")
        before, self._failure = self._failure, failure
        if failure != before:
            self._failed(self._path, failure)

    def _differs(self, saved: _MirrorDocument | None) -> bool:
        """Tell whether this process knows more than the file, or the file is to be renewed."""
        merged = self._merged(saved)
        if saved is None or merged is None:
            return merged is not None
        renewed = merged.heard - saved.heard >= self._age.limit / _RENEWALS
        return renewed or replace(merged, heard=saved.heard) != saved

    def _merged(self, saved: _MirrorDocument | None) -> _MirrorDocument | None:
        """Return what the file is to hold; None if nothing is known."""
        flags, pending = self._flags.published, self._flags.pending
        heard = self._age.heard()
        if saved is None:
            if self._flags.limited or not (flags.revision or pending or heard):
                return None
            saved = _MirrorDocument(self._namespace, LiveFlags())
        if not includes(flags, saved.flags):
            kept = self._flags.unreplaced(pending, saved.flags)
            return self._plus(self._plus_apart(saved, flags), kept)
        if self._flags.limited:
            return self._plus(saved, pending)
        if not includes(saved.flags, flags):
            saved = replace(saved, flags=flags, pending={}, heard=heard or self._age.now())
        elif heard is not None:
            saved = replace(saved, heard=max(heard, saved.heard))
        return self._plus(self._plus_apart(saved), pending)

    def _plus_apart(self, saved: _MirrorDocument, *more: LiveFlags) -> _MirrorDocument:
        """Add all that the file's flags do not include."""
        apart = None
        for each in (saved.apart, self._flags.apart, *more):
            if each is not None and not includes(saved.flags, each):
                apart = each if apart is None else self._flags.joined(apart, each)
        return replace(saved, apart=apart)

    def _plus(self, saved: _MirrorDocument, pending: dict[str, str]) -> _MirrorDocument:
        rollout = saved.rollout
        if self._remembered is not None:
            rollout = msgspec.Raw(self._remembered.newest(bytes(rollout)))
        return replace(saved, pending={**saved.pending, **pending}, rollout=rollout)

    def _read(self) -> _MirrorDocument | None:
        try:
            mirrored = msgspec.json.decode(_contents(self._path), type=_MirrorDocument)
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None
        return mirrored if mirrored.namespace == self._namespace else None


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
        self._daemon = Daemon(self._run, "cachemw-flags")
        self._look()

    def reset_after_fork(self) -> None:
        """Drop the parent's thread."""
        self._daemon.reset_after_fork()

    def start(self) -> None:
        """Look at the files, and start the thread, once per process."""
        if self._again or self._last:
            self._daemon.start(self._look)

    def _look(self) -> None:
        self._call(self._first + self._again)

    def stop(self) -> None:
        """Ask the thread to save the live flags a last time, and to end."""
        self._daemon.stop()

    def finish(self, until: float) -> None:
        """Wait for the thread until this time: the files may be on a disk that hangs."""
        self._daemon.end(until)

    def _run(self, stopping: StopSignal) -> None:
        while not stopping.wait(_EVERY):
            self._call(self._again + self._last)
        self._call(self._last)

    def _call(self, looks: list[Callable[[], None]]) -> None:
        for look in looks:
            try:
                look()
            except Exception:  # a file must not end the thread or a request (I3)
                self._failed("flags_files_failed")
