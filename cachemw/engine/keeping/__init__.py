"""Storing: from a response of the application to what the tiers hold of it.

Reading order:

- `storing`: judging a response, collecting it, storing it.
- `cutting`: holes in place of the pieces that are for one client.
- `tagging`: the tags of a response.
- `client_cookies`: what a response reads and sets that is not for everybody.
- `validation`: freshening a stored entry by a 304 or by the response to a HEAD.
- `changes`: what an unsafe request makes invalid.
"""
