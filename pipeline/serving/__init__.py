"""Loaded models and their threads, without Beam: artifacts, releases, validation."""
