"""Wires jobs and runs them."""
