"""Everything that is checked before a job starts."""
