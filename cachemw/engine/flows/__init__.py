"""The flows of a request and its response."""
