"""Cookies of a response that is not for everybody: those that its making read, and those that it sets.

`ask_with_own` is for routes that watch what the application reads: who has such a cookie gets a response
that was made with it. `without_dropped` takes the cookies of `drop_set_cookie` out of a response before
anything judges it, so they are no reason not to keep it, and in nothing that is kept.
"""

from __future__ import annotations

from cachemw.engine.core.engine import Engine
from cachemw.engine.keeping.storing import spoil
from cachemw.engine.privacy.cookie_reads import CookieReads
from cachemw.engine.request.decisions import Forward
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Answer, Head

__all__ = ["ask_with_own", "with_cookies", "without_dropped"]

_FAILED = 500


def ask_with_own(engine: Engine, forward: Forward, head: Head) -> Forward | None:
    """Return what to ask the application instead, if it has read a cookie that was removed; else None.

    In shadow the cookie was not removed: then the response is for its client only.
    """
    fetch = forward.fetch
    reads = None if fetch is None else fetch.recording.cookies_read()
    if fetch is None or reads is None:
        return None
    cacheable = fetch.cacheable
    # A report of an error lists all cookies. That says nothing of the page.
    failed = reads.all and head.status >= _FAILED
    engine.learn_cookies(cacheable.route, CookieReads(reads.names) if failed else reads)
    if not cacheable.bypasses_by_now:
        return None
    if fetch.shadow:
        spoil(engine, fetch, "cookie-read", collected=True)
        return None
    if not fetch.may_ask_again:
        return None
    engine.refused(cacheable.route, "cookie-read")
    return Forward(route=forward.route, outcome=forward.outcome, reason="personal-cookie")


def without_dropped(forward: Forward, head: Head) -> tuple[Head, tuple[Pair, ...]]:
    """Return a head without the cookies that a stored answer does not set, and the lines for this client.

    Whoever has such a cookie keeps it, if the application was not shown it: it has not seen what it would
    replace.
    """
    fetch = forward.fetch
    if fetch is None or b"set-cookie" not in head.headers:
        return head, ()
    cacheable = fetch.cacheable
    rules = cacheable.route.cookies
    dropped = [
        pair for pair in head.headers.pairs if pair[0] == b"set-cookie" and rules.drops(pair[1])
    ]
    if not dropped:
        return head, ()
    kept = Fields([pair for pair in head.headers.pairs if pair not in dropped])
    own = cacheable.request.headers.values(b"cookie")
    hidden = bool(own) and not fetch.shadow and cacheable.has_removed_cookies
    return Head(status=head.status, headers=kept), tuple(
        pair for pair in dropped if not hidden or not rules.is_overwritten(own, (pair[1],))
    )


def with_cookies(answer: Answer, own: tuple[Pair, ...]) -> Answer:
    """Return the answer for the client whose request the application has answered, with its own cookies."""
    if not own:
        return answer
    return Answer(status=answer.status, headers=[*answer.headers, *own], body=answer.body)
