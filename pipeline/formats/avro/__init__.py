"""Avro: its schemas and its records."""
