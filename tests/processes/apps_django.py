"""The pages of `apps` as a Django project, over the same data.

With `APP_LOOPS` in the environment its views are coroutines, for a server with event loops.
With `APP_FOLLOW` the cache follows the log as soon as the module is loaded.
"""

from __future__ import annotations

import os

import apps
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from cachemw.django import get_cache

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        CACHEMW=apps.OPTIONS,
        MIDDLEWARE=["cachemw.django.CacheMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="nothing is signed",
        USE_TZ=True,
    )
    django.setup()


def answer(body: bytes) -> HttpResponse:
    fields = {"Content-Length": str(len(body))}
    return HttpResponse(body, content_type="text/plain", headers=fields)


def about(request: HttpRequest) -> HttpResponse:
    return answer(apps.about(get_cache()))


def page(request: HttpRequest, name: str) -> HttpResponse:
    if request.method == "PUT":
        result = get_cache().purge(tags=[f"page:{apps.change(name)}"])
        return answer(result.status.encode())
    return answer(apps.body_of(name))


async def page_in_a_loop(request: HttpRequest, name: str) -> HttpResponse:
    if request.method == "PUT":
        result = await get_cache().apurge(tags=[f"page:{apps.change(name)}"])
        return answer(result.status.encode())
    return answer(apps.body_of(name))


LOOPS = bool(os.environ.get("APP_LOOPS"))
urlpatterns = [path("about", about), path("pages/<name>", page_in_a_loop if LOOPS else page)]
wsgi_app = get_wsgi_application()
asgi_app = get_asgi_application()

if os.environ.get("APP_FOLLOW"):
    apps.follow(get_cache())
