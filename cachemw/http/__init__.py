"""The rules of HTTP caching as pure functions: no clock, no I/O, no framework.

Headers are sequences of `(name, value)` byte pairs in their order, with duplicates kept and names in
lower case: the adapters for WSGI, ASGI and Django lower them once. Times are arguments. Each module
opens with the rules that it applies and their RFC sections. Nothing here raises on bad input: what
cannot be read counts in its more careful meaning.

Reading order:

- `fields`: the headers of one message, and how their values are split.
- `messages`: a request, and the head of a response.
- `dates`: HTTP dates.
- `structured`: structured fields, such as lists of strings.
- `hops`: headers that belong to one connection.
- `cache_control`: Cache-Control of a response.
- `targeted`: Cache-Control for some caches only, such as CDN-Cache-Control.
- `request_control`: Cache-Control of a request.
- `freshness`: how long a response is fresh, and its age on arrival.
- `vary`: the request headers that select a stored response.
- `negotiation`: equal values of Accept and similar headers, written the same.
- `storing`: whether a response may be stored, and for how long.
- `conditional`: entity tags and conditional requests.
- `freshening`: how a 304 or the answer to a HEAD updates a stored response.
- `ranges`: parts of a stored response.
- `invalidation`: what a response to an unsafe request invalidates.
- `groups`: groups of responses that are invalidated together.
- `cache_status`: the Cache-Status header, which tells clients what this cache did.
"""
