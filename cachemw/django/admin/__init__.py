"""The page "Response cache" in Django's admin.

Reading order:

- `admin`: the page and its views.
- `forms`: the search and the purge.
- `overview`: what the page shows.
"""

from cachemw.django.admin.admin import CacheAdmin

__all__ = ["CacheAdmin"]
