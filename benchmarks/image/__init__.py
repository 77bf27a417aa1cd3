"""The image: its size and its start."""
