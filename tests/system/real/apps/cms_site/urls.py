from contact.views import send, subscribe
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    *i18n_patterns(
        path("admin/", admin.site.urls),
        path("send/", send, name="send"),
        path("subscribe/", subscribe, name="subscribe"),
        path("", include("cms.urls")),
    ),
]
