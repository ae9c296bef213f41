"""Tools for whoever operates a cache."""
