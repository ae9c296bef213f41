"""Checks that concern several options.

Reading order:

- `rules`: what several options must be together.
- `cookies`: what a route's lists of cookies must be together.
- `url_options`: the options of Redis URLs.
- `unreachable`: routes that an earlier route hides.
- `warnings`: what is allowed, but probably not meant.
"""
