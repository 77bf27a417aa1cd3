"""Parquet files: their index, their rows as columns."""
