"""The way to Redis, below the stores and the log."""
