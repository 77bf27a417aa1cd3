"""Rows from BigQuery and to it."""
