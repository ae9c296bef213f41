"""Commands of `manage.py`, as Django looks for them."""
