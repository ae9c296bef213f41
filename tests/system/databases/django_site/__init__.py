"""The library in Django: models, reads, writes, ways to commit, and the site that offers them."""
