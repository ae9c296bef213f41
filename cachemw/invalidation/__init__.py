"""Purges: the records, the floors that every process keeps, and the log that carries them."""
