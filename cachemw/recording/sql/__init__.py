"""What SQL statements read and write."""
