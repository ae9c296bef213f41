"""The library in SQLAlchemy: models, reads, writes, ways to commit, and the site that offers them."""
