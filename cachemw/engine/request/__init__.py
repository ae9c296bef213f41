"""From a request to its key."""
