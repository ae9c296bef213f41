from django.apps import apps
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    # A web server would serve these in front of the site.
    path("static/<path:path>", serve, {"insecure": True}),
    *i18n_patterns(path("", include(apps.get_app_config("oscar").urls[0]))),
]
