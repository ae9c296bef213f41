"""Looking inside a cache: explain a request, and list what is stored."""
