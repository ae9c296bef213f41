"""Recording of what a response was made from.

Reading order:

- `context`: the recording of the response that is being made, and the functions that add to it.
- `thread_context`: the recording in threads that a request starts.
- `sql`: what SQL statements read and write, for the recorders of databases.
"""
