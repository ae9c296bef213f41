"""The cache as the admin knows it: a model without a table, for its page and its permissions."""

from __future__ import annotations

from django.db import models

__all__ = ["Cache"]


class Cache(models.Model):
    """Stands for this project's cache; there are no rows of it."""

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    """Never asked for; named here so that no setting of the project's makes a migration of it."""

    class Meta:  # noqa: D106 - what Django calls it
        managed = False
        default_permissions = ()
        permissions = (
            ("view_cache", "Can view the response cache"),
            ("purge_cache", "Can purge the response cache"),
        )
        verbose_name = "response cache"
        verbose_name_plural = "response cache"
