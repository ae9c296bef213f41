"""Libraries that an application uses: recorders for databases, and forms.

Reading order:

- `sqlalchemy`: the recorder of a SQLAlchemy engine.
- `sqlalchemy_drivers`: questions to the drivers below SQLAlchemy.
- `flask_wtf`: the tokens of Flask-WTF's forms.
- `sqlalchemy_schema`: what SQLAlchemy's metadata says about keys and tables.
"""
