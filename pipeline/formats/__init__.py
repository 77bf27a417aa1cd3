"""Between bytes and columns: one module or folder for each format."""
