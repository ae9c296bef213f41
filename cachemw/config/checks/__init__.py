"""Checks over several settings."""
