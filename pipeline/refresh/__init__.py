"""Where candidates come from: patterns that are watched, and messages."""
