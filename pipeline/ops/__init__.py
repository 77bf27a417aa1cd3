"""Pure functions on columns."""
