"""A load generator: traffic, its replay, and a check for stale answers.

It knows nothing of the cache but the header `Cache-Status`: it asks over HTTP, as clients do.

Reading order:

- `traffic`: which request is sent when.
- `client`: a small HTTP client over keep-alive connections.
- `replay`: sends the traffic at its own pace and notes each result.
- `staleness`: checks whether a read shows all writes that it must show.
"""
