"""The page in Django's admin."""

from cachemw.django.admin.admin import CacheAdmin

__all__ = ["CacheAdmin"]
