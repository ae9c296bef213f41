"""What all front doors share."""
