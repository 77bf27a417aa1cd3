"""CSV: rows, cells, columns."""
