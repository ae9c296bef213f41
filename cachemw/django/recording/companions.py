"""Companions: what the values in Django's cache were made from.

Whatever is set in Django's cache while a response is recorded was made from what the response has read by
then. So a second value is stored beside it, its **companion**. It has the tags of the recording, and the
position of the log that the oldest of its rows are from. A response that is made from the value later gets
the tags. So a purge of these rows purges the response. If they were purged since the value was set, it gets
that position too, so it is too old to be stored (I5).

A companion must not be taken for that of another value, which a command has set meanwhile, or a process
without this recorder. So it has a digest of its value, as that comes back from the cache. Two equal values of
one key may have one companion: if the rows behind the older one were changed since, they were purged, and the
companion is too old; if not, both were made from the same rows.

| the companion | the response |
|---|---|
| belongs to the value | gets its tags, and its position if some of them were purged since |
| belongs to it, but is of another life of the log or by another secret | gets its tags; its age is unknown |
| is missing, or belongs to another value | is made from an unknown value |

A value may have a piece for one client in it: the token of a form, in a fragment that the application caches.
A response that shows it is not stored (I1). The placeholder of a hole (`recording.pieces`) means nothing in
another response, so a value with one is removed.

The texts in tags are concealed as they are in Redis (`engine.model.row_tags`): Django's cache may be shared.

The companions of `LocMemCache` are held here: nobody else has its values, and it drops values when it has
more than `MAX_ENTRIES`, which is 300 by default. In any other cache they are values of their own, with the
same timeout and version.
"""

from __future__ import annotations

import io
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from secrets import token_hex
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from django.core.cache.backends.locmem import LocMemCache
from msgspec.structs import replace

from cachemw.cache import Cache
from cachemw.process.fork import reset_in_children
from cachemw.recording.context import MadeEarlier, Position, Recording, with_families

__all__ = [
    "LOCAL",
    "UNKNOWN",
    "Companion",
    "as_read_now",
    "companions_of",
    "digest",
    "made_from",
    "name_of",
    "place_of",
]

_MAX_LOCAL_TAGS = 200_000
"""Most tags of all local companions (I4): about 30 MB."""
_MAX_TAGS_AT_ONCE = 20_000
"""Most tags that one `set_many` stores (I3): about 1 MB. With more its values are unknown."""
_PICKLE = 5
UNKNOWN = MadeEarlier()
"""What a value was made from that nobody knows anything of."""


class Companion(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The companion of one value. It is stored as a string, because some caches store nothing else."""

    digest: str
    """The digest of the value."""
    life: str = ""
    """The life of the log that `position` is of. Empty: nobody knows what the value was made from."""
    epoch: str = ""
    position: str = ""
    """Hexadecimal, like `epoch`."""
    tags: tuple[str, ...] = ()
    personal: bool = False
    """Whether the value has a piece for one client in it, such as the token of a form."""

    def text(self) -> str:
        """Return the companion as it is stored."""
        return msgspec.json.encode(self).decode()


def companions_of(
    cache: Cache, recording: Recording, values: Mapping[Any, object]
) -> dict[Any, Companion | None]:
    """Return the companions of values that are set at once while this response is recorded, by their keys.

    None: the value has the placeholder of a hole in it, which is filled in this response only.
    """
    common = _common(cache, recording)
    if len(common.tags) * len(values) > _MAX_TAGS_AT_ONCE:
        common = Companion("")
    texts = recording.piece_texts
    made: dict[Any, Companion | None] = {}
    for key, value in values.items():
        data = _bytes(value, stored=False)
        within = [placeholder for text, placeholder in texts if text in data]
        companion = replace(common, digest=_digest(data), personal=bool(within))
        made[key] = None if any(within) else companion
    return made


def _common(cache: Cache, recording: Recording) -> Companion:
    """Return the companion of all that is set now, without the digest of its value."""
    began, tags = recording.began, cache._core.engine.row_tags.conceal(recording.so_far())
    if began is None or recording.has_unknown_value or len(tags) > cache.config.recording.max_tags:
        return Companion("")
    position = recording.oldest(began)
    life = _life(cache, position.epoch)
    return Companion("", life, position.epoch.hex(), f"{position.id:x}", tags)


def made_from(cache: Cache, recording: Recording, found: object, value: object) -> MadeEarlier:
    """Return what a value was made from that a response reads; `found` is what is stored beside it."""
    companion = _read(found)
    if companion is None or companion.digest != digest(value, stored=True):
        return UNKNOWN
    if companion.personal:
        recording.lose_piece()
    tags, began = companion.tags, recording.began
    if began is None or not companion.life or companion.life != _life(cache, began.epoch):
        return MadeEarlier(tags)
    if cache._core.engine.row_tags.widen(tags) != tags:  # another secret has made some of them
        return MadeEarlier(tags)
    return MadeEarlier(tags, Position(bytes.fromhex(companion.epoch), int(companion.position, 16)))


def as_read_now(cache: Cache, made: MadeEarlier) -> MadeEarlier | None:
    """Return what a value was made from, as if it were read now; None if some of it was purged since.

    If nothing of it was purged, the value is as good as one that is made from the same rows now. With its own
    position, the response would seem as old as the value, and so would the other rows that it is made from.
    """
    engine = cache._core.engine
    now = (
        engine.floors.current_position()
    )  # before the floors, which may get a purge meanwhile (I5)
    tags = with_families(engine.row_tags.conceal(made.tags))
    if made.position is None or engine.floors.overtakes(made.position, tags):
        return None
    return MadeEarlier(made.tags, now)


def _read(found: object) -> Companion | None:
    if isinstance(found, Companion):
        return found
    if not isinstance(found, str | bytes):
        return None
    try:
        return msgspec.json.decode(found, type=Companion)
    except ValueError:  # somebody else's value, or one of another version of this package
        return None


_LARGEST = 4 << 20
"""Bytes of a value that is spelt out: as much as is pickled in some 10 ms."""


def digest(value: object, *, stored: bool) -> str:
    """Return a digest of a value as it comes back from a cache.

    `stored`: it comes from there. Otherwise it is pickled and read once, because what is pickled again after
    that has the same bytes each time. Raises what pickling raises.
    """
    return _digest(_bytes(value, stored=stored))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _bytes(value: object, *, stored: bool) -> bytes:
    data = _plain(value)
    if data is not None:
        return data
    if not stored:
        value = pickle.loads(pickle.dumps(value, _PICKLE))  # noqa: S301 - of the same line
    try:
        return _spelt_out(value)
    except (ValueError, OverflowError):  # it holds itself, or one large part many times
        return pickle.dumps(value, _PICKLE)


def _spelt_out(value: object) -> bytes:
    """Pickle a value, each part as often as it is there. Raises ValueError and OverflowError.

    Otherwise the bytes would say which equal parts are one object. After reading that depends on which
    strings Python holds as interned just then: names of attributes become such strings.
    """
    file = _Limited()
    pickler = pickle.Pickler(file, _PICKLE)
    pickler.fast = True
    pickler.dump(value)
    return file.getvalue()


class _Limited(io.BytesIO):
    """A file in memory that refuses to grow too large."""

    def write(self, data: Any, /) -> int:
        """Write; raise OverflowError at the limit."""
        if self.tell() > _LARGEST:
            raise OverflowError("too large to be spelt out")
        return super().write(data)


def _plain(value: object) -> bytes | None:
    """Return the bytes of a simple value, which caches store in several ways; None for any other."""
    if isinstance(value, str):  # also one that is marked as safe
        return b"s" + value.encode("utf-8", "surrogatepass")
    if value is None or isinstance(value, int | float):
        return repr(value).encode()
    return b"b" + value if type(value) is bytes else None


# -- where they are --------------------------------------------------------------------------------


def name_of(backend: Any, key: object, version: object) -> str:
    """Return the key of a companion: short, without characters that a cache may refuse."""
    return (
        f"cachemw.{blake2b(_made_key(backend, key, version).encode(), digest_size=16).hexdigest()}"
    )


def place_of(backend: Any, key: object, version: object) -> tuple[int, str] | None:
    """Return the place of a companion that is held in this process; None where the cache has it."""
    if not isinstance(backend, LocMemCache):
        return None
    return id(backend._cache), _made_key(backend, key, version)  # type: ignore[attr-defined]


def _made_key(backend: Any, key: object, version: object) -> str:
    make = getattr(backend, "make_key", None)
    return str(f"{version}:{key}" if make is None else make(key, version=version))


class _LocalCompanions:
    """The companions of values that only this process has; the oldest are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._companions: OrderedDict[tuple[int, str], Companion] = OrderedDict()
        self._size = 0

    def get(self, place: tuple[int, str]) -> Companion | None:
        return self._companions.get(place)

    def put(self, place: tuple[int, str], companion: Companion) -> None:
        with self._lock:
            self._drop(self._companions.pop(place, None))
            self._companions[place] = companion
            self._size += _weight(companion)
            while self._size > _MAX_LOCAL_TAGS:
                self._drop(self._companions.popitem(last=False)[1])

    def _drop(self, companion: Companion | None) -> None:
        if companion is not None:
            self._size -= _weight(companion)

    def reset_after_fork(self) -> None:
        """Make a new lock: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()


def _weight(companion: Companion) -> int:
    return len(companion.tags) + 4  # the object itself


LOCAL = _LocalCompanions()
reset_in_children(LOCAL)


# -- lives of the log ------------------------------------------------------------------------------

_tokens: WeakKeyDictionary[Cache, str] = WeakKeyDictionary()


def _life(cache: Cache, epoch: bytes) -> str:
    """Return the name of a life of the log.

    Without Redis, and before it is reached, each process has a log of its own, whose epoch is zero. Such
    positions mean nothing in another process.
    """
    if any(epoch):
        return epoch.hex()
    token = _tokens.get(cache)
    if token is None:
        token = _tokens.setdefault(cache, token_hex(8))
    return f"{token}-{os.getpid()}"
