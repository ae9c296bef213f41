"""The rules of HTTP caching as pure functions: no clock, no I/O, no framework.

Header fields are sequences of `(name, value)` byte pairs in order, duplicates kept, names in lower
case: the front doors lower them once. Times are arguments.
"""
