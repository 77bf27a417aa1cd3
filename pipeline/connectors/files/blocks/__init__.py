"""Files as blocks of records, one module for each format."""
