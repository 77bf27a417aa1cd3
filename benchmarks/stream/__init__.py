"""A stream from Pub/Sub to Pub/Sub."""
