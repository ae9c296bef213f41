"""Values and tables of the engine, without state."""
