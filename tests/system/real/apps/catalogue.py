"""The applications of this folder: what is installed of each, in which versions.

Each has a virtual environment of its own. Only packages that shape its answers are pinned; what
they need besides is whatever the package index gives.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["APPLICATIONS", "LONG", "Application"]

DJANGO = ("django", "recorder", "redis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What to install for one application."""

    title: str
    pins: tuple[str, ...]
    """Requirements with versions; the first is the application itself."""
    extras: tuple[str, ...]
    """Extras of `cachemw` whose requirements it needs too."""

    @property
    def version(self) -> str:
        """The version of the application."""
        return self.pins[0].partition("==")[2]


APPLICATIONS = {
    "oscar": Application(
        title="django-oscar",
        pins=(
            "django-oscar==4.2.1",
            "sorl-thumbnail==13.4.0",
            "django==5.2.19",
            "gunicorn==27.0.1",
        ),
        extras=DJANGO,
    ),
    "rest": Application(
        title="DRF's browsable API",
        pins=(
            "djangorestframework==3.18.3",
            "drf-spectacular==0.30.0",
            "django==5.2.19",
            "gunicorn==27.0.1",
        ),
        extras=DJANGO,
    ),
    "cms": Application(
        title="django CMS",
        pins=(
            "django-cms==5.1.3",
            "djangocms-text==1.0.2",
            "djangocms-versioning==2.8.0",
            "django==5.2.19",
            "gunicorn==27.0.1",
        ),
        extras=DJANGO,
    ),
    "sqladmin": Application(
        title="sqladmin",
        pins=(
            "sqladmin==0.32.0",
            "itsdangerous==2.2.0",
            "fastapi==0.165.0",
            "sqlalchemy[asyncio]==2.1.9",
            "uvicorn==0.54.0",
        ),
        extras=("redis", "sqlalchemy"),
    ),
    "strawberry": Application(
        title="Strawberry",
        pins=("strawberry-graphql[asgi]==0.341.2", "uvicorn==0.54.0"),
        extras=("graphql", "redis"),
    ),
    "litestar": Application(
        title="Litestar",
        pins=("litestar[cryptography,jinja]==2.25.0", "uvicorn==0.54.0"),
        extras=("redis",),
    ),
    "dash": Application(
        title="Dash",
        pins=("dash==4.4.1", "gunicorn==27.0.1"),
        extras=("redis",),
    ),
    "mlflow": Application(
        title="MLflow",
        pins=("mlflow==3.17.2",),
        extras=("redis",),
    ),
}

LONG = ("mlflow",)
"""Those that take long to install or to crawl, which a run with `--whole` makes."""
