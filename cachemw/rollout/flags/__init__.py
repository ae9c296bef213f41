"""The flags of a process, their live state and their files."""
