"""The engine: it decides what is served, what is forwarded, and what is stored.

It has no clock, no I/O, no framework, no Redis and no logging: times and results are passed in. Its
folders, from the lowest to the highest; each imports only those before it (`keeping` and `lookup` do not
import each other):

- `privacy`: what of a request tells who is asking, and what is done about it.
- `model`: values and tables.
- `core`: the engine itself, its ports, flights, effects and drivers.
- `request`: from a request to its key.
- `lookup`: finding and rendering stored responses.
- `keeping`: storing responses.
- `flows`: what happens to one request, step by step.
"""
