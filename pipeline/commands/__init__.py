"""The commands of ``python -m pipeline``: a module each, and what they share."""
