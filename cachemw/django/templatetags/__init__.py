"""Tags for Django's templates.

Reading order:

- `cachemw`: the tag `hole`.
"""
