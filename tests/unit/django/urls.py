"""What the project serves: pages made from its data, and one that changes it."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path


def _model(name: str) -> Any:
    return apps.get_model("shop", name)


def product(request: HttpRequest, pk: int) -> HttpResponse:
    found = _model("Product").objects.filter(pk=pk).first()
    return HttpResponse(found.name if found else "none", content_type="text/plain")


async def aproduct(request: HttpRequest, pk: int) -> HttpResponse:
    found = await _model("Product").objects.filter(pk=pk).afirst()
    return HttpResponse(found.name if found else "none", content_type="text/plain")


def of_shop(request: HttpRequest, pk: int) -> HttpResponse:
    names = _model("Product").objects.filter(shop=pk).order_by("pk").values_list("name", flat=True)
    return HttpResponse(" ".join(names), content_type="text/plain")


def rename(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    with transaction.atomic():
        _model("Product").objects.filter(pk=pk).update(name=name)
    return HttpResponse("done")


async def arename(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    await _model("Product").objects.filter(pk=pk).aupdate(name=name)
    return HttpResponse("done")


urlpatterns = [
    path("products/<int:pk>", product),
    path("aproducts/<int:pk>", aproduct),
    path("shops/<int:pk>", of_shop),
    path("rename/<int:pk>/<name>", rename),
    path("arename/<int:pk>/<name>", arename),
]
