"""Which cookies an application reads while it makes a response: `COOKIES` and `headers` tell.

A route that says nothing of cookies removes those that it does not know. So that nobody gets a page which
was made without a cookie that it depends on, the application gets a dict that notes what is asked for.
What it notes makes the route bypass for whoever has such a cookie: see `engine.privacy.cookie_rules`.

Whoever asks `request.headers` for the Cookie header counts as reading all. Not noted is what is read from
`META["HTTP_COOKIE"]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.utils.functional import cached_property

from cachemw.engine.privacy.cookie_reads import CookieReads, LearnedReads
from cachemw.recording.context import Recording

__all__ = ["ReadCookies", "was_read", "watch"]

_OURS = "cachemw.django."
_DJANGOS = "django."


def was_read(request: HttpRequest) -> bool:
    """Tell whether middleware outside of the cache, and not Django's, may have read the cookies."""
    return (
        "COOKIES" in request.__dict__ and _has_others_outside()
    )  # Django keeps what it has parsed


def watch(request: HttpRequest, recording: Recording, *, read_before: bool) -> None:
    """Make a request tell the recording which of its cookies the application reads."""
    noting = ReadCookies(request.COOKIES, unless=(settings.CSRF_COOKIE_NAME,))
    if read_before:
        noting.note_all()
    recording.cookies_read = lambda: noting.reads
    request.COOKIES = noting
    request.headers = ReadHeaders(request.META, noting)


def _has_others_outside() -> bool:
    """Tell whether middleware that is not Django's stands outside of the cache.

    What such middleware reads of the cookies it may put into the request. Django's own reads the session,
    the language and the CSRF token, which the route knows.
    """
    outside = takewhile(lambda path: not path.startswith(_OURS), settings.MIDDLEWARE)
    return any(not path.startswith(_DJANGOS) for path in outside)


class ReadHeaders(HttpHeaders):
    """The headers of a request. Notes if the whole Cookie header is asked for."""

    def __init__(self, meta: Any, cookies: ReadCookies) -> None:
        """Take META, and the cookies that note."""
        # META is read when the first header is asked for, as Django does: middleware may change it first.
        self._meta = meta
        self._note_all = cookies.note_all

    @cached_property
    def _store(self) -> Any:  # type: ignore[override]
        return HttpHeaders(self._meta)._store

    def __getitem__(self, name: str) -> str:
        if name.lower() == "cookie":
            self._note_all()
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self._note_all()
        return super().__iter__()

    def __repr__(self) -> str:
        self._note_all()
        return super().__repr__()


class ReadCookies(dict[str, str]):
    """The cookies of a request. Notes the names that are asked for, whether or not they are there."""

    __slots__ = ("_read", "_unless")

    def __init__(self, cookies: Iterable[Any], unless: Iterable[str] = ()) -> None:
        """Take the cookies; the names in `unless` are not noted."""
        super().__init__(cookies)
        self._unless = frozenset(unless)
        self._read = LearnedReads()  # a view may ask in several threads

    @property
    def reads(self) -> CookieReads:
        """All that was asked for by now."""
        return self._read.reads

    def note_all(self) -> None:
        """Note that any cookie may have been read."""
        self._read.add(CookieReads(all=True))

    def _note(self, name: object) -> None:
        if name not in self._unless and not self._read.touches({str(name)}):
            self._read.add(CookieReads(frozenset({str(name)})))

    def __getitem__(self, name: str) -> str:
        self._note(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._note(name)
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a cookie's value."""
        self._note(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Remove a cookie and return its value."""
        self._note(name)
        return super().pop(name, *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return a cookie's value; set it if there is none."""
        self._note(name)
        return super().setdefault(name, default)

    def __delitem__(self, name: str) -> None:
        self._note(name)
        super().__delitem__(name)

    def __iter__(self) -> Iterator[str]:
        self.note_all()
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        self.note_all()
        return super().__reversed__()

    def __len__(self) -> int:
        self.note_all()
        return super().__len__()

    def keys(self) -> Any:
        """Return the names."""
        self.note_all()
        return super().keys()

    def values(self) -> Any:
        """Return the values."""
        self.note_all()
        return super().values()

    def items(self) -> Any:
        """Return names and values."""
        self.note_all()
        return super().items()

    def popitem(self) -> tuple[str, str]:
        """Remove a cookie."""
        self.note_all()
        return super().popitem()

    def copy(self) -> dict[str, str]:
        """Return a dict of the cookies."""
        self.note_all()
        return super().copy()

    def __or__(self, other: Any) -> Any:
        self.note_all()
        return super().__or__(other)

    def __ror__(self, other: Any) -> Any:
        self.note_all()
        return super().__ror__(other)

    def __eq__(self, other: object) -> bool:
        self.note_all()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        self.note_all()
        return super().__ne__(other)

    __hash__ = None

    def __repr__(self) -> str:
        self.note_all()
        return super().__repr__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.note_all()
        return dict, (dict(super().items()),)
