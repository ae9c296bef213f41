"""A process that serves nothing: it renames product 1, and ends."""

from __future__ import annotations

import sys

import django
from django.conf import settings


def main() -> None:
    database, redis, applications = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        INSTALLED_APPS=applications,
        CACHEMW={"namespace": "recorded", "redis": redis, "routes": []},
        USE_TZ=True,
    )
    django.setup()
    from django.apps import apps

    assert apps.get_model("shop", "Product").objects.filter(pk=1).update(name="renamed") == 1


if __name__ == "__main__":
    main()
