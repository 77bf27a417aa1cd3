"""JSON lines: their objects, long lists of numbers in them, and tables of single values."""
