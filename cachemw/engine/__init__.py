"""What decides: routes, keys, the flows of a request, and the drivers that run them.

No clock, no I/O, no framework, no Redis and no logging in here: time and results are handed in.
"""
