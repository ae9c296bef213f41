"""Measurements of cachemw, each against something that runs beside it: `python -m bench`."""
