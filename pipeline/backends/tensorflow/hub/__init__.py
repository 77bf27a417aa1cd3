"""Fetches modules from a hub."""
