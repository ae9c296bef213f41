"""Other response caches, each in an environment and a process of its own, measured beside us."""
