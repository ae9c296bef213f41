"""Lookup: finding a stored response for a request, and rendering it.

Reading order:

- `candidates`: what the tiers hold for a request, and whether it may be served.
- `in_shadow`: what would be served on a route in shadow.
- `leasing`: taking turns with other processes at calling the application.
- `nonces`: nonces in a header and in the body, another one for each client.
- `filling`: the pieces of one client, put into the holes.
- `rendering`: a stored response as it is sent.
"""
