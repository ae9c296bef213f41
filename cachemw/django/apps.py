"""The Django application, for projects that have `cachemw.django` in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["CachemwConfig"]


class CachemwConfig(AppConfig):
    """Brings along the command of `manage.py` and the page in the admin."""

    name = "cachemw.django"
    label = "cachemw"
    verbose_name = "Response cache"
