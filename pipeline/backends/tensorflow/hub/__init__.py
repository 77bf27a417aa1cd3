"""Modules of a hub, asked for and fetched."""
