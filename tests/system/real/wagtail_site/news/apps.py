from django.apps import AppConfig
from django.conf import settings


class NewsConfig(AppConfig):
    name = "news"

    def ready(self) -> None:
        if hasattr(settings, "CACHEMW"):
            from news import purging  # noqa: F401
