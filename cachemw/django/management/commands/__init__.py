"""Commands of `manage.py`.

- `cachemw`: the command line of cachemw, with the configuration of `settings.CACHEMW`.
"""
