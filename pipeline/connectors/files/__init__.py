"""Records in files, and lines and tables into files."""
