"""The invalidation log in Redis."""
