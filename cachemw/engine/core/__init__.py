"""The engine, its ports, its effects and their drivers."""
