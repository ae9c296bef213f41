"""The migrations of the application: there is no table, but there are permissions."""
