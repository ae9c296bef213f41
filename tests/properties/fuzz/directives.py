"""What responses and clients ask of caches, and the structured fields that say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cachemw.http import cache_control, request_control
from cachemw.http.cache_control import MAX_SECONDS, CacheControl, delta_seconds, quoted_names
from cachemw.http.fields import Fields
from cachemw.http.groups import groups, invalidated_groups
from cachemw.http.request_control import RequestControl, accepts_stale, wants_validation
from cachemw.http.structured import dictionary, strings
from cachemw.http.targeted import effective_control, targeted_control

from .inputs import fields, repeated

__all__ = ["fuzz_cache_control", "fuzz_groups", "fuzz_request_control", "fuzz_targeted"]

TARGETS = (b"cachemw-cache-control", b"cdn-cache-control")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")


def fuzz_cache_control(data: bytes) -> None:
    """Every line is one Cache-Control line of a response."""
    given = repeated(b"cache-control", data)
    control = cache_control.parse(given)
    _is_bounded(control)
    assert cache_control.parse(Fields([(b"cache-control", _written(control))])) == control
    for line in given.values(b"cache-control"):
        assert 0 <= delta_seconds(line) <= MAX_SECONDS
        assert all(map(_TOKEN.fullmatch, quoted_names(line)))
        _says_no_less(control, cache_control.parse(Fields([(b"cache-control", line)])))
    refused = given.plus((b"cache-control", b"no-store, private, no-cache, max-age=0"))
    _says_no_less(cache_control.parse(refused), control)
    assert cache_control.parse(refused).no_store


def _is_bounded(control: CacheControl) -> None:
    for name in cache_control.SECONDS.values():
        seconds = getattr(control, name)
        assert seconds is None or 0 <= seconds <= MAX_SECONDS
    assert all(map(_TOKEN.fullmatch, control.omitted))


def _written(control: CacheControl) -> bytes:
    said = [name for name, flag in cache_control.FLAGS.items() if getattr(control, flag)]
    for name, number in cache_control.SECONDS.items():
        if (seconds := getattr(control, number)) is not None:
            said.append(b"%s=%d" % (name, seconds))
    for name, listed in cache_control.QUALIFIED.items():
        if names := getattr(control, listed):
            said.append(b'%s="%s"' % (name, b", ".join(names)))
    return b", ".join(said)


def _says_no_less(whole: CacheControl, part: CacheControl) -> None:
    """Check that nothing that another line says takes back what this one does."""
    for flag in cache_control.FLAGS.values():
        assert getattr(whole, flag) or not getattr(part, flag)
    for number in cache_control.SECONDS.values():
        seconds = getattr(part, number)
        assert seconds is None or getattr(whole, number) <= seconds
    assert part.omitted <= whole.omitted
    assert whole.forbids_stale or not part.forbids_stale


def fuzz_request_control(data: bytes) -> None:
    """A request's head."""
    control = request_control.parse(fields(data))
    for seconds in (control.max_age, control.min_fresh):
        assert seconds is None or 0 <= seconds <= MAX_SECONDS
    assert control.max_stale is None or control.max_stale >= 0
    for age in (0.0, 1.0, 1e10):
        _is_heeded(control, age)


@dataclass(frozen=True, slots=True)
class _Uses:
    """Whether a stored response that is so old may be used."""

    fresh: bool
    immutable: bool
    stale: bool
    forbidden: bool


def _is_heeded(control: RequestControl, age: float) -> None:
    uses = _Uses(
        fresh=not wants_validation(control, age=age, lifetime=60.0, immutable=False),
        immutable=not wants_validation(control, age=age, lifetime=60.0, immutable=True),
        stale=accepts_stale(control, staleness=age, forbids_stale=False),
        forbidden=accepts_stale(control, staleness=age, forbids_stale=True),
    )
    assert uses.immutable or not uses.fresh
    assert not uses.forbidden
    if control.no_cache:
        assert uses == _Uses(fresh=False, immutable=False, stale=False, forbidden=False)


def fuzz_targeted(data: bytes) -> None:
    """A response's head."""
    given = fields(data)
    control = effective_control(given, TARGETS)
    _is_bounded(control)
    assert control.targeted is (targeted_control(given, TARGETS) is not None)
    if not control.targeted:
        assert control == cache_control.parse(given)
        return
    members = next(said for name in TARGETS if (said := dictionary(tuple(given.values(name)))))
    _is_consumed(control, members)


def _is_consumed(control: CacheControl, members: dict[str, object]) -> None:
    """Check that a refusal in whatever form counts, and that no lifetime is made up."""
    assert control.no_store is (members.get("no-store", False) is not False)
    for name, number in cache_control.SECONDS.items():
        assert (getattr(control, number) is None) is (name.decode() not in members)
    for name, flag in cache_control.FLAGS.items():
        value = members.get(name.decode(), False)
        listed = getattr(control, cache_control.QUALIFIED.get(name, ""), None)
        if value is True:
            assert getattr(control, flag)
        if name in cache_control.QUALIFIED and value is not False:
            assert getattr(control, flag) or listed


def fuzz_groups(data: bytes) -> None:
    """Every line is one Cache-Groups line, and one Cache-Group-Invalidation line."""
    lines = [line.translate(None, b"\r\0") for line in data.split(b"\n")]
    named = strings(tuple(lines))
    for name, read, most in (
        (b"cache-groups", groups, 32),
        (b"cache-group-invalidation", invalidated_groups, 128),
    ):
        found = read(Fields([(name, line) for line in lines]))
        assert len(found) == len(set(found)) <= most
        assert all(group in named and len(group) <= 32 and group.isascii() for group in found)
