"""Keep a Wagtail site's cached pages right: tag what is served, purge what changes."""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from wagtail import hooks
from wagtail.models import PageViewRestriction
from wagtail.signals import page_published, page_slug_changed, page_unpublished, post_page_move

import cachemw
from cachemw.django import get_cache


@hooks.register("before_serve_page")
def tag_page(page, request, args, kwargs):
    """Name the page that the answer is made from."""
    cachemw.tag(f"page:{page.pk}")


def purge(*parts):
    """Purge pages and the search results, once the change can be read.

    A purge before the commit would let a request in between store the old answer after it.
    """
    pages = {pk for part in parts for pk in part.values_list("pk", flat=True)}
    tags = [*(f"page:{pk}" for pk in pages), "search"]
    transaction.on_commit(partial(get_cache().purge, tags=tags))


def content_changed(instance, **kwargs):
    """Purge a page and the pages above it, which list it."""
    purge(instance.get_ancestors(inclusive=True))


def address_changed(instance, parent_page_before=None, **kwargs):
    """Purge a page, what is above it now and was before, and what is below its old address."""
    listed_it = parent_page_before or instance
    purge(
        instance.get_ancestors(inclusive=True),
        listed_it.get_ancestors(inclusive=True),
        instance.get_descendants(),
    )


def privacy_changed(instance, **kwargs):
    """Purge a page that was closed or opened, with all that is below it."""
    address_changed(instance.page)


page_published.connect(content_changed)
page_unpublished.connect(content_changed)
page_slug_changed.connect(address_changed)
post_page_move.connect(address_changed)
post_save.connect(privacy_changed, sender=PageViewRestriction)
post_delete.connect(privacy_changed, sender=PageViewRestriction)
