"""Django's own cache middleware and nothing else, over its memory cache, behind its WSGI handler."""

from __future__ import annotations

import asyncio
from typing import Any

from bench import django_calls

WSGI = True


def make(calls: list[str], loop: asyncio.AbstractEventLoop) -> Any:
    """Give the site's handler."""
    django_calls.configure()
    django_calls.view_calls = calls
    return django_calls.handler(django_calls.OWN)
