"""Avro: its containers, schemas and records."""
