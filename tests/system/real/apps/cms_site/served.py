"""The site for a WSGI server; each answer names the worker that gave it."""

import os

from django.core.wsgi import get_wsgi_application

site = get_wsgi_application()


def application(environ, start_response):
    """Serve through Django and add the header that tells the workers apart."""

    def start(status, headers, *rest):
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], *rest)

    return site(environ, start)
