"""Lookup: finding a stored response for a request, and rendering it.

Reading order:

- `candidates`: what the tiers hold for a request, and whether it may be served.
- `in_shadow`: what would be served on a route in shadow.
- `leasing`: taking turns with other processes at calling the application.
- `rendering`: a stored response as it is sent.
"""
