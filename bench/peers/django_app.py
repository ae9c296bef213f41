"""A Django site with Django's own cache middleware alone, over its memory cache."""

from __future__ import annotations

import asyncio
from typing import Any

from bench import django_calls

WSGI = True


def make(calls: list[str], loop: asyncio.AbstractEventLoop) -> Any:
    """Return the site's WSGI handler."""
    django_calls.configure()
    django_calls.view_calls = calls
    return django_calls.handler(django_calls.OWN)
