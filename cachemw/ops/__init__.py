"""Tools for the people who operate a cache.

Reading order:

- `load`: a load generator: traffic, its replay, and a check for stale answers.
"""
