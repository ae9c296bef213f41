"""From an answer to what is stored of it."""
