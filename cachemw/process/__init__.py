"""What a process needs, with no knowledge of caching."""
