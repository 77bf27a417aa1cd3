"""Thin Beam adapters around core and serving."""
