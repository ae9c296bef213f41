"""Recorders: what tells the cache by itself which data answers are built from, and when it changes."""
