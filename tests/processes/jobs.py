"""Tasks that write and purge, for Celery and RQ, as `apps` does for a PUT."""

from __future__ import annotations

import os

from apps import cache, change
from celery import Celery

celery = Celery("jobs", broker=os.environ["APP_REDIS"], backend=os.environ["APP_REDIS"])
celery.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1)


def publish(name: str) -> tuple[str, int]:
    """Write the next version of a page and purge it; return what came of it, and the process."""
    return cache.purge(tags=[f"page:{change(name)}"]).status, os.getpid()


publish_by_celery = celery.task(name="publish")(publish)
