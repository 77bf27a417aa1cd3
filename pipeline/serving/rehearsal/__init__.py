"""A release tried on made-up rows and on examples, before it serves."""
