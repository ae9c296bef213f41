"""Purge a Wagtail site's cached pages when an editor changes them."""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from wagtail.models import PageViewRestriction
from wagtail.signals import page_published, page_slug_changed, page_unpublished, post_page_move

from cachemw.django import get_cache


def purge(**what):
    """Purge once the change can be read.

    A purge before the commit would let a request in between store the old answer after it.
    """
    transaction.on_commit(partial(get_cache().purge, **what))


def content_changed(instance, **kwargs):
    """Purge a page, the pages above it, which list it, and the search results."""
    parts = (page.get_url_parts() for page in instance.get_ancestors(inclusive=True))
    purge(tags=["search", *(f"at:{site_and_path[2]}" for site_and_path in parts if site_and_path)])


def site_changed(**kwargs):
    """Purge all pages: renaming, moving, closing and opening concern whatever is below too."""
    purge(routes=["site", "search"])


page_published.connect(content_changed)
page_unpublished.connect(content_changed)
page_slug_changed.connect(site_changed)
post_page_move.connect(site_changed)
post_save.connect(site_changed, sender=PageViewRestriction)
post_delete.connect(site_changed, sender=PageViewRestriction)
