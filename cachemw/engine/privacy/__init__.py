"""Privacy rules for requests: what tells who is asking, or could change the response.

Reading order:

- `bypass`: request headers that bypass the cache, are keyed, or are removed.
- `identity_headers`: headers, variables and outer middleware that say who is asking.
- `analytics_cookies`: cookies that are removed everywhere.
- `cookie_reads`: which cookies the application was seen to read.
- `cookie_rules`: which cookies are keyed, removed, or bypass the cache.
"""
