"""Recording what an answer was built from."""
