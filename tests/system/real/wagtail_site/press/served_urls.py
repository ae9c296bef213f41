"""The start project's URLs, and the files that a web server would serve in front of it."""

from django.conf import settings
from django.contrib.staticfiles.views import serve as serve_static
from django.urls import path
from django.views.static import serve as serve_file
from press.urls import urlpatterns as project_urls

urlpatterns = [
    path("static/<path:path>", serve_static, {"insecure": True}),
    path("media/<path:path>", serve_file, {"document_root": settings.MEDIA_ROOT}),
    *project_urls,
]
