"""The model that the admin's page and its permissions are of; it makes no table."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Written by `makemigrations`, and in this project's style."""

    initial = True

    operations = (
        migrations.CreateModel(
            name="Cache",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ],
            options={
                "verbose_name": "response cache",
                "verbose_name_plural": "response cache",
                "permissions": (
                    ("view_cache", "Can view the response cache"),
                    ("purge_cache", "Can purge the response cache"),
                ),
                "managed": False,
                "default_permissions": (),
            },
        ),
    )
