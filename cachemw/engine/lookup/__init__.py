"""Finding a stored answer, and rendering it."""
