"""The ensemble file that `init` writes."""
