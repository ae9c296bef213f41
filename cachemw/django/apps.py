"""The Django application, for projects that have `cachemw.django` in INSTALLED_APPS.

The middleware installs the recorder of queries too. A worker or a command that serves nothing has
only this to purge what it changes.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from cachemw.django.registry import record_queries

__all__ = ["CachemwConfig"]


class CachemwConfig(AppConfig):
    """Brings along the command of `manage.py` and the page in the admin, and records queries."""

    name = "cachemw.django"
    label = "cachemw"
    verbose_name = "Response cache"

    def ready(self) -> None:
        """Observe database connections from now on, where the project has a cache."""
        if hasattr(settings, "CACHEMW"):
            record_queries()
