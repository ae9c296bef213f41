"""Where responses are kept: the entry and its codec, the memory tier, the Redis tier, the breaker."""
