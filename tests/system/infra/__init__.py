"""Redis and servers as teams run them: programs that come from Debian, not from the package index."""
