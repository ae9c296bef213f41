"""A shop over SQLite with three front ends, to see cachemw in front of something that costs."""
