"""The model without a table that stands for the cache in the admin."""

from __future__ import annotations

from django.db import models

__all__ = ["Cache"]


class Cache(models.Model):
    """The project's cache, as the admin knows it: the owner of its page and its permissions.

    The name is part of the permissions (`view_cache`), the URLs and the migration, so it stays.
    """

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    """Named here so that DEFAULT_AUTO_FIELD of the project does not ask for a migration."""

    class Meta:  # noqa: D106 - its name is Django's
        managed = False
        default_permissions = ()
        permissions = (
            ("view_cache", "Can view the response cache"),
            ("purge_cache", "Can purge the response cache"),
        )
        verbose_name = "response cache"
        verbose_name_plural = "response cache"
