"""Benchmarks of cachemw: `python -m bench`.

Each figure is a ratio to something that runs beside it, in the same round: a time alone says more
about the machine than about the cache. docs/benchmarks.md explains each group.

Reading order:

- `__main__`: the command line, and the list of groups.
- `timing`: rounds of several subjects in turn, and ratios between them.
- `effort`: how many rounds, requests and entries: all of them, or few for a quick look.
- `rows`: one row of the table: what was measured, the limit, the verdict.
- `report`: the table, the JSON file, and the section of docs/benchmarks.md.
- `constants`: the response and the configuration that all measurements share.
- `asgi_calls`: calls of an ASGI application, without a server.
- `wsgi_calls`: calls of a WSGI application, without a server.
- `django_calls`: a Django site with different middleware.
- `exporting`: OpenTelemetry, set up as in an application.
- `processes`: servers to measure, such as uvicorn and nginx.
- `peers`: other response caches.

The groups:

- `hits`: a memory hit under ASGI, beside a bare call and other caches.
- `django_hits`: a hit under Django, beside Django's own cache.
- `servers`: hits of whole servers, beside the bare application, Varnish and nginx.
- `served`: the applications that those servers run.
- `redis_hits`: a hit in Redis, beside a bare GET.
- `misses`: a miss, beside the bare application.
- `scale`: a hit with many routes and many entries, beside few.
- `memory`: the memory of an entry, and of a full memory tier, beside its limit.
- `kept`: the process that measures one entry.
- `churned`: the process that measures a full memory tier.
- `fleet`: what many processes cost their Redis.
- `followers`: processes that follow the invalidation log.
- `simulation`: the same for up to 10,000 processes, simulated.
- `policies`: the hit rate of the memory tier, beside other eviction policies.
- `flood`: a million keys that are requested once, beside popular ones.
- `learning`: learned lifetimes, beside fixed ones and a share of the age, simulated.
- `recorder`: a query with Django's recorder, beside the same query without it.
- `sqlalchemy_recorder`: the same for SQLAlchemy.
- `starts`: the first requests of a process that has never reached Redis.
- `rollouts`: false alarms and detection times of the guardrails, beside a plain threshold.
"""
