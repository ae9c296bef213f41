"""An example shop over SQLite under three frameworks, to see cachemw in front of slow pages.

Reading order:

- `caching`: where the shop opens its cache.
- `fastapi_app`: the shop under FastAPI.
- `flask_app`: the shop under Flask.
- `django_app`: the shop under Django.
- `django_views`: the views under Django.
- `forms`: checks of what a request asks for.
- `schema`: the tables of the database.
- `seed`: the rows of the database.
- `tables`: the tables as SQLAlchemy classes.
- `sqlalchemy_reads`: the reads of the shop, with SQLAlchemy.
- `sqlalchemy_writes`: the writes of the shop, with SQLAlchemy.
- `models`: the tables as Django models.
- `django_reads`: the reads of the shop, with Django's ORM.
- `django_writes`: the writes of the shop, with Django's ORM.
- `origin`: a counter of the reads that reach the shop.
- `__main__`: creates the database and describes it.
"""
