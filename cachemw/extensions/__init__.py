"""What a route may plug in: identity functions and GraphQL."""
