"""A load generator: traffic, its replay, and the check for stale answers."""
