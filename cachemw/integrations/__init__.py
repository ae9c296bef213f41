"""Recorders for database libraries: what responses are made from, and purges when that changes.

Reading order:

- `sqlalchemy`: the recorder of a SQLAlchemy engine.
- `sqlalchemy_drivers`: questions to the drivers below SQLAlchemy.
- `sqlalchemy_schema`: what SQLAlchemy's metadata says about keys and tables.
"""
