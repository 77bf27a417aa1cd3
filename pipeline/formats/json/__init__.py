"""JSON lines: their objects, and long lists of numbers in them."""
