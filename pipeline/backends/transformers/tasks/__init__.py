"""The tasks of transformers models: their inputs, how these are prepared, and their outputs."""
