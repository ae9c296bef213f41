"""Which routes use the cache right now."""
