"""The Django application `cachemw.django`, for INSTALLED_APPS.

The middleware starts the recording of queries too. A worker or a command has no middleware: this
application makes it purge what it changes.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from cachemw.django.checks import register_checks
from cachemw.django.query_recording import record_queries

__all__ = ["CachemwConfig"]


class CachemwConfig(AppConfig):
    """The application: adds a command to `manage.py` and a page to the admin, and records queries."""

    name = "cachemw.django"
    label = "cachemw"
    verbose_name = "Response cache"

    def ready(self) -> None:
        """Register the checks; observe database connections where the project configures a cache."""
        register_checks()
        if hasattr(settings, "CACHEMW"):
            record_queries()
