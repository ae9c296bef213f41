"""Views into a cache: the explanation of a request, and the list of stored entries.

Reading order:

- `explain`: what the cache would do with a request, and why.
- `stored_entries`: the entries in Redis and in this process, and the preview of a purge.
"""
