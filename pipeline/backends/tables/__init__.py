"""Models of tables: what their features are called, and how rows of them are made."""
