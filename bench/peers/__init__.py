"""Other response caches, each in an environment and a process of its own.

Reading order:

- `known`: the caches, and what each needs to be installed.
- `running`: making their environments, and talking to their processes.
- `worker`: the process of one cache, which measures when it is told to.
- `starlette_caches_app`: an application behind starlette-caches.
- `fastapi_cache_app`: an application behind fastapi-cache2.
- `hishel_app`: an application behind hishel.
- `django_app`: a site behind Django's own cache middleware.
"""
