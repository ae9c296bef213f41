"""Recording of what a response was made from.

Reading order:

- `context`: the recording of the response that is being made.
- `declared`: functions by which an application adds to it.
- `pieces`: pieces of a response that are for one client.
- `thread_context`: the recording in threads that a request starts.
- `sql`: what SQL statements read and write, for the recorders of databases.
"""
