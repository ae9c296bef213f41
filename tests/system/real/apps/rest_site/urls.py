from django.contrib.staticfiles.views import serve
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from library.views import AuthorViewSet, BookViewSet, LoanViewSet, SuggestionViewSet
from rest_framework.routers import DefaultRouter

router = DefaultRouter()
router.register("authors", AuthorViewSet)
router.register("books", BookViewSet)
router.register("loans", LoanViewSet, basename="loan")
router.register("suggestions", SuggestionViewSet)

urlpatterns = [
    # A web server would serve these in front of the site.
    path("static/<path:path>", serve, {"insecure": True}),
    path("auth/", include("rest_framework.urls")),
    path("language/", set_language, name="set_language"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("", include(router.urls)),
]
