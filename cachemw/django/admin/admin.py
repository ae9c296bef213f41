"""Page "Response cache" of Django's admin: what the cache holds, and purges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import Truncator

from cachemw.cache import Cache
from cachemw.django import models
from cachemw.django.admin.forms import PurgeForm, SearchForm
from cachemw.django.admin.overview import SEARCH_TIME, make_overview, redis_patience
from cachemw.django.registry import get_cache
from cachemw.errors import StoreUnavailable
from cachemw.introspection.stored_entries import Preview
from cachemw.process.printable import printable_in

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[models.Cache]
else:
    _ModelAdmin = admin.ModelAdmin

__all__ = ["CacheAdmin"]

_PAGE = "admin:cachemw_cache_changelist"
_HISTORY = 20
"""Purges from this page that it lists."""
_NAME = 200
"""Most characters of the name in the admin's history, which Django limits to 200; the message has all."""


@admin.register(models.Cache)
class CacheAdmin(_ModelAdmin):
    """The page, in the place where other models list their rows. Who may purge may also view."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: there is one cache."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the cache is purged, not changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the cache stays."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may view the cache."""
        return _may(request, "view") or self.has_purge_permission(request)

    def has_purge_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may purge."""
        return _may(request, "purge")

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of the page and of its form. There are no rows, so there are no others."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="cachemw_cache_changelist"),
            path("purge/", wrap(self.purge_view), name="cachemw_cache_purge"),
        ]

    # -- pages -----------------------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the cache and the result of a search in it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, get_cache(), None)

    def purge_view(self, request: HttpRequest) -> HttpResponse:
        """Show which entries a purge would touch; purge once that is confirmed."""
        if not self.has_purge_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseRedirect(reverse(_PAGE, current_app=self.admin_site.name))
        cache = get_cache()
        form = PurgeForm(request.POST, routes=_names(cache))
        if not form.is_valid():
            return self._page(request, cache, form)
        try:
            if "confirmed" in request.POST:
                return self._purge(request, cache, form)
            return self._preview(request, cache, form)
        except ValueError as error:  # a bad tag or URL
            form.add_error(None, str(error))
            return self._page(request, cache, form)

    def _page(self, request: HttpRequest, cache: Cache, form: PurgeForm | None) -> HttpResponse:
        searched = "q" in request.GET
        search = SearchForm(request.GET if searched else None)
        wanted = search.tags(cache._core.engine) if searched else frozenset()
        if form is None:
            form = PurgeForm(routes=_names(cache))
        return self._render(
            request,
            "page",
            overview=make_overview(cache, wanted),
            search=search,
            searched=bool(wanted),
            form=form if self.has_purge_permission(request) else None,
            history=self._history(),
        )

    def _preview(self, request: HttpRequest, cache: Cache, form: PurgeForm) -> HttpResponse:
        preview: Preview | None
        try:
            preview = cache.preview(
                **form.targets, within=SEARCH_TIME, patience=redis_patience(cache)
            )
        except StoreUnavailable:
            preview = None
        return self._render(request, "confirm", form=form, preview=preview)

    def _purge(self, request: HttpRequest, cache: Cache, form: PurgeForm) -> HttpResponse:
        result = cache.purge(**form.targets, soft=form.soft)
        sentence = result.sentence(soft=form.soft)
        short = Truncator(form.summary).chars(_NAME)
        LogEntry.objects.create(
            user_id=request.user.pk,
            content_type_id=self._content_type().pk,
            object_repr=Truncator(f"Purge: {form.summary}").chars(_NAME),
            action_flag=CHANGE,
            change_message=f"Purge of {form.summary}. {sentence}",
        )
        level = messages.SUCCESS if result.confirmed else messages.WARNING
        self.message_user(request, f"{short}: {sentence}", level)
        return HttpResponseRedirect(reverse(_PAGE, current_app=self.admin_site.name))

    def _render(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            f"admin/cachemw/cache/{template}.html",
            {
                **self.admin_site.each_context(request),
                "title": "Response cache" if template == "page" else "Purge?",
                "opts": self.opts,
                **printable_in(context),
            },
        )

    def _history(self) -> Any:
        found = LogEntry.objects.filter(content_type=self._content_type())
        return found.select_related("user")[:_HISTORY]

    def _content_type(self) -> ContentType:
        return ContentType.objects.get_for_model(self.model)


def _may(request: HttpRequest, verb: str) -> bool:
    user: Any = request.user
    return bool(user.has_perm(f"cachemw.{verb}_cache"))


def _names(cache: Cache) -> list[str]:
    return [route.name for route in cache.config.routes]
