"""Messages from Pub/Sub and to it."""
