"""Requests: from a request to its key, or to the reason why it bypasses the cache.

Reading order:

- `keying`: the classification of a request, its plan and its key.
- `key_contents`: the readable contents of a key.
- `tag_values`: the tags that a route's templates make of a request.
- `bodies`: requests with a body, and how a body becomes part of the key.
- `decisions`: what a flow decides: serve, or forward.
- `urls`: from a URL to the tags that purge it.
"""
