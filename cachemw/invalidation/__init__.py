"""Purges, and how each process knows what was purged.

Reading order:

- `purges`: a purge and its result.
- `floors`: what has been purged, as one process knows it, and whether an entry is still valid.
- `base`: the protocol of an invalidation log.
- `local`: the log of a single process without Redis.
- `log`: the log in Redis, which carries purges to all processes.
- `graph`: dependencies between tags.
- `recent_purges`: the last purges, for display.
"""
