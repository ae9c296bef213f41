"""Applications in environments of their own, used by several people at once, cache off and on.

Reading order:

- `catalogue`, `environments`: what is installed of each application, and where.
- `django_sites`, `program_sites`: how its site is made and served. The sites are in the other folders.
- `people`: who visits it, with which cookies, and how they send forms.
- `checks`: what is true of every site. `tokens`, `staleness`, `measures` and `chrome` are its parts.
- `test_NAME`: one application each, with the forms that are its own.
"""
