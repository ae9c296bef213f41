"""A hit under Django, beside Django's own cache middleware.

All sites are called through Django's WSGI handler, in processor time. The limits are ratios: to the
hit of Django's own cache middleware, to a middleware that only returns a constant, and for the site
wrapped in `cachemw.wsgi`, to a bare WSGI call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bench import django_calls, wsgi_calls
from bench.constants import URLS, config
from bench.effort import Effort
from bench.rows import Row, at_most, note
from bench.timing import SLICES, interleave, ratio, spread
from cachemw import Cache
from cachemw.wsgi import CacheMiddleware

__all__ = ["django_hits"]

AGAINST_OWN = 0.4
AGAINST_CONSTANT = 1.25
WRAPPED = 15.0
WITH_FORMS = 3.0


def _sites() -> dict[str, Any]:
    """Return the sites, their caches filled; raises RuntimeError if a second request is no hit."""
    django_calls.configure()
    first, last = django_calls.OWN
    make: Callable[[list[str]], Any] = django_calls.handler
    cached: dict[str, Any] = {
        "ours": make([*django_calls.OURS, *django_calls.STOCK]),
        "own": make([first, *django_calls.STOCK, last]),
        "ours alone": make(django_calls.OURS),
        "own alone": make(django_calls.OWN),
        "page": django_calls.page(make([*django_calls.OURS, *django_calls.STOCK]), 0),
        "form": django_calls.page(make([*django_calls.OURS, *django_calls.STOCK]), 1),
        "forms": django_calls.page(make([*django_calls.OURS, *django_calls.STOCK]), 10),
        "wrapped": CacheMiddleware(make(django_calls.STOCK), Cache.from_dict(config())),
    }
    for app in cached.values():
        for url in URLS:
            wsgi_calls.ask(app, url)
    done = len(django_calls.view_calls)
    for name, app in cached.items():
        for url in URLS:
            wsgi_calls.ask(app, url)
        if len(django_calls.view_calls) != done:
            raise RuntimeError(f"{name}: a hit reached the view")
    return {
        "bare": wsgi_calls.bare,
        "constant": make(["bench.django_calls.Constant"]),
        "view": make(django_calls.STOCK),
        **cached,
    }


def django_hits(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    subjects = [
        wsgi_calls.subject(name, app, calls=200 if name in ("bare", "wrapped") else 20)
        for name, app in _sites().items()
    ]
    times = interleave(subjects, effort.rounds, slices=SLICES)
    micro = {name: f"{spread(each).median * 1e6:.1f} µs" for name, each in times.items()}
    seconds = {name: spread(each).median for name, each in times.items()}
    yield at_most(
        "Django hit, compared with Django's own cache middleware (site with startproject's middleware)",
        ratio(times["ours"], times["own"]),
        AGAINST_OWN,
        unit=" x",
        beside=f"{micro['ours']}, its own {micro['own']}, no cache {micro['view']}",
        seconds=seconds,
    )
    yield note(
        "the same, on a site with no other middleware at all",
        ratio(times["ours alone"], times["own alone"]),
        unit=" x",
        beside=f"{micro['ours alone']}, its own {micro['own alone']}",
    )
    yield note(
        "for comparison: a middleware that returns a constant, against that hit of Django's own",
        ratio(times["constant"], times["own alone"]),
        unit=" x",
        beside=f"{micro['constant']}",
    )
    yield at_most(
        "Django hit, against an outermost middleware that returns a constant",
        ratio(times["ours"], times["constant"]),
        AGAINST_CONSTANT,
        unit=" x",
        beside=f"{micro['ours']}, constant {micro['constant']}",
    )
    for subject, name in (("form", "a form"), ("forms", "ten forms")):
        yield at_most(
            f"Django hit of a page with {name}, compared with the same page without",
            ratio(times[subject], times["page"]),
            WITH_FORMS,
            unit=" x",
            beside=f"{micro[subject]}, without {micro['page']}",
        )
    yield at_most(
        "hit of the same site wrapped in cachemw.wsgi",
        ratio(times["wrapped"], times["bare"]),
        WRAPPED,
        unit=" bare WSGI calls",
        beside=f"{micro['wrapped']}, bare {micro['bare']}",
    )
