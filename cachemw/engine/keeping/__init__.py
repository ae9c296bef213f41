"""Storing: from a response of the application to what the tiers hold of it.

Reading order:

- `storing`: judging a response, collecting it, storing it.
- `collector`: what is known of a response while its body is collected.
- `learning`: how long it lives, where lifetimes are learned.
- `cutting`: holes in place of the pieces that are for one client.
- `tagging`: the tags of a response.
- `client_cookies`: what a response reads and sets that is not for everybody.
- `validation`: freshening a stored entry by a 304 or by the response to a HEAD.
- `changes`: what an unsafe request makes invalid.
"""
