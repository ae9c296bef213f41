"""The syntax of single values."""
